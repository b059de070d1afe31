"""Two organizations: whoever belongs to the one tries every route on the other's ids.

Each request is made twice, with ids that exist and with such that nobody has: it must be impossible to
tell one from the other by status, body, headers, or by what the services do for it. No test looks at
a clock: that the same commands are sent is what makes the times alike.
"""

import asyncio
import json
import re
import time

import httpx
import pytest

from artcafe_common.clock import new_id
from support.agents import LegacyAgent
from support.api_examples import ROUTES, served_routes
from support.command_spy import CommandSpy
from support.isolation import undisturbed, unknown_ids
from support.tokens import decode_claims, sign_token
from support.waiting import eventually

# Whoever adds a route says here what it is to a stranger; all others are for members of an organization.
FOR_ANYBODY = {
    "POST /auth/login": 401,
    "POST /auth/refresh": 401,
    "POST /auth/client/challenge": 200,
    "POST /auth/agent/challenge": 200,
    "POST /auth/agent/verify": 401,
    "GET /agents/{agent_id}/challenge": 200,
    "GET /health": 200,
    "GET /health/live": 200,
    "GET /health/ready": 200,
    "GET /metrics": 200,
}
# Of a person, whatever organization is named.
OF_A_PERSON = {
    "GET /accounts": 200,
    "POST /accounts": 201,
    "GET /profile/preferences": 200,
    "PUT /profile/preferences": 200,
}
# What a member may do in an organization of their own, though the body names another one's ids.
AT_HOME = {
    "GET /clients": 200,
    "POST /clients": 400,
    "GET /agents": 200,
    "POST /agents": 201,
    "GET /agents/status/summary": 200,
    "GET /channels": 200,
    "POST /channels": 201,
    "GET /subjects": 200,
    "POST /subjects": 403,
    "GET /usage/metrics": 200,
    "GET /usage/current": 200,
    "GET /usage/local/stats": 200,
    "GET /activity/logs": 200,
    "GET /activity/summary": 200,
    "GET /profile/me": 200,
    "PUT /profile/me": 200,
}
# Bodies that name what is another's; other routes take their right body.
BODIES = {
    "POST /auth/login": {"email": "{email}", "password": "wrong"},
    "POST /auth/client/challenge": {"client_id": "{client_id}"},
    "POST /auth/agent/challenge": {"agent_id": "{agent_id}"},
    "POST /auth/agent/verify": {
        "agent_id": "{agent_id}",
        "challenge": "{challenge}",
        "signature": "{signature}",
        "tenant_id": "{account_id}",
    },
    "POST /clients": {"name": "x", "permissions": {"publish": ["{account_id}.x"], "subscribe": [">"]}},
    "POST /subjects": {"name": "x", "pattern": "tenant.{account_id}.>"},
    "PUT /clients/{client_id}": {"name": "x", "permissions": {"publish": [">"], "subscribe": [">"]}},
    "POST /agents": {"name": "{fresh}"},
    "POST /channels": {"name": "{fresh}"},
    "POST /channels/{channel_id}/messages": {"data": {"from": "a stranger"}},
}
# Differ from answer to answer.
PASSING = {"date", "x-request-id", "ratelimit-remaining", "ratelimit-reset", "content-length"}
AT_ONCE = 6


@pytest.fixture
async def victim(tenant):
    async with undisturbed(tenant) as prepared:
        yield prepared


class Actor:
    """Somebody of the other organization, with what they show and the organization that they name."""

    def __init__(self, name, authorization, *, at_home=None, member=False):
        self.name = name
        self.authorization = authorization
        self.at_home = at_home
        self.member = member

    def expected(self, route):
        if route in FOR_ANYBODY:
            return FOR_ANYBODY[route]
        if not self.member:
            return 401
        if route in OF_A_PERSON:
            return OF_A_PERSON[route]
        if self.at_home is None or "{account_id}" in route:
            return 403
        return AT_HOME.get(route, 404)

    def headers(self, ids):
        headers = {"X-Tenant-Id": self.at_home or ids["account_id"]}
        return headers | ({"Authorization": self.authorization} if self.authorization else {})


async def actors_of(other_tenant):
    token = other_tenant.owner.token
    claims = decode_claims(token)
    agent = await other_tenant.create_client("knocks")
    legacy = await LegacyAgent.register(other_tenant)
    expired = sign_token({**claims, "exp": int(time.time()) - 100})
    other_tenant.agent, other_tenant.legacy = agent, legacy
    return [
        Actor("a member, at home", f"Bearer {token}", at_home=other_tenant.id, member=True),
        Actor("a member, away", f"Bearer {token}", member=True),
        Actor("a client with its seed", f"Bearer {agent.seed}"),
        Actor("a client with its key", f"Bearer {agent.record['nkey_public']}"),
        Actor("an agent", f"Bearer {await legacy.request_token()}"),
        Actor("nobody", None),
        Actor("junk", "Bearer junk"),
        Actor("expired", f"Bearer {expired}"),
    ]


def filled(value, ids):
    if isinstance(value, dict):
        return {key: filled(each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, ids) for each in value]
    return value.format(**ids) if isinstance(value, str) else value


async def ask(http, actor, route, ids):
    method, _, path = route.partition(" ")
    body = BODIES.get(route, ROUTES[route])
    content = None if body is None else json.dumps(filled(body, ids))
    return await http.request(
        method, f"/api/v1{path.format(**ids)}", content=content, headers=actor.headers(ids)
    )


def told(answer):
    """Whatever an answer tells, without what differs from one to the next."""
    headers = {k: v for k, v in answer.headers.items() if k not in PASSING}
    names = answer.headers.keys() - {"content-length"}
    if answer.is_success:
        return answer.status_code, sorted(names), headers
    body = answer.json()
    assert body.pop("request_id") == answer.headers["x-request-id"]
    return answer.status_code, sorted(names), headers, body


async def test_every_route_is_in_the_table(tenant):
    routes = await served_routes(tenant)
    assert routes == set(ROUTES)
    assert BODIES.keys() <= routes
    assert FOR_ANYBODY.keys() | OF_A_PERSON.keys() | AT_HOME.keys() <= routes
    # Whatever is not there names something by its id, which a stranger cannot have.
    rest = routes - FOR_ANYBODY.keys() - OF_A_PERSON.keys() - AT_HOME.keys()
    assert [route for route in rest if "{" not in route] == []


async def test_every_route_with_what_is_anothers(stack, victim, other_tenant):
    actors = await actors_of(other_tenant)
    spy = await CommandSpy.attach(stack)
    # What says who somebody is at home is remembered for a while, so now it is asked for and now it is not.
    known = (other_tenant.owner.token, other_tenant.id)
    marks = [*victim.ids.values(), "of the victim", "hears all", victim.agent.record["nkey_public"]]
    wrong, pairs = [], []
    limit = asyncio.Semaphore(AT_ONCE)

    async def tries(actor):
        # For anybody it is the same whoever asks; so it is tried by few: logins are limited.
        brief = actor.name not in ("a member, away", "an agent", "nobody")
        for route in ROUTES:
            if route in FOR_ANYBODY and brief:
                continue
            answers = []
            for ids in (victim.ids, unknown_ids()):
                challenge = "ch_" + "x" * 43
                if route.endswith("/verify"):
                    path = "/api/v1/auth/agent/challenge"
                    got = await http.post(path, json={"agent_id": ids["agent_id"]})
                    challenge = got.json()["challenge"]
                extra = {
                    "challenge": challenge,
                    "signature": other_tenant.legacy.sign(challenge),
                    "fresh": new_id(),
                }
                async with limit:
                    answers.append(await ask(http, actor, route, ids | extra))
            pairs.append((actor, route, answers))

    async def one_by_one(some):
        # Two questions of one person at the same time are asked of the services once.
        for actor in some:
            await tries(actor)

    members = [actor for actor in actors if actor.member]
    others = [[actor] for actor in actors if not actor.member]
    async with httpx.AsyncClient(base_url=stack.api, timeout=30) as http:
        await asyncio.gather(*map(one_by_one, [members, *others]))
    await spy.flush()
    for actor, route, answers in pairs:
        one, other = answers
        where = (actor.name, route, one.status_code, one.text[:300])
        if one.status_code != actor.expected(route):
            wrong.append(("status", *where))
        if told(one) != told(other):
            wrong.append(("told apart", *where, other.status_code, other.text[:300]))
        calls = [
            spy.subjects_of_request(answer.headers["x-request-id"], excluding=known) for answer in answers
        ]
        if calls[0] != calls[1]:
            wrong.append(("calls", *where, *calls))
        if one.status_code == 401 and route not in FOR_ANYBODY and "tenancy" in str(calls):
            wrong.append(("asked about before it was known who asks", *where, *calls))
        if any(mark in one.text for mark in marks):
            wrong.append(("leaks", *where))
    assert wrong == [], "\n".join(map(str, wrong))
    assert len(pairs) == len(actors) * len(ROUTES) - 5 * len(FOR_ANYBODY)
    # The spy was not deaf.
    assert (
        sum(len(spy.subjects_of_request(a.headers["x-request-id"])) for *_, answers in pairs for a in answers)
        > 200
    )


async def test_who_is_told_of_it(victim, other_tenant):
    """The organization that was knocked at; who knocked learns nothing, and of its own things nothing is told."""
    knocker = f"user:{decode_claims(other_tenant.owner.token)['sub']}"
    theirs = await other_tenant.create_client("theirs")
    for _ in range(3):
        answer = await other_tenant.http.delete(
            f"/clients/{victim.agent.id}", headers={"X-Tenant-Id": victim.id}
        )
        assert answer.status_code == 403
    # An id of another organization, at home, is one that does not exist: nobody is told.
    assert (await other_tenant.http.delete(f"/clients/{victim.agent.id}")).status_code == 404

    async def knocks(tenant):
        log = await tenant.call("GET", "/activity/logs?type=access&limit=200", 200)
        return log["logs"]

    await eventually(lambda: _at_least(knocks, victim, 3))
    entries = await knocks(victim)
    assert {(e["action"], e["actor"], e["status"]) for e in entries} == {("access.denied", knocker, "denied")}
    assert len(entries) == 3
    assert other_tenant.id not in str(entries)
    assert theirs.id not in str(entries)
    assert await knocks(other_tenant) == []


async def _at_least(read, tenant, count):
    found = await read(tenant)
    return found if len(found) >= count else None


async def test_cursors_of_another_organization(tenant, other_tenant):
    """What an answer hands out for the next question is good for its own organization only."""
    for number in range(2):
        await tenant.create_client(f"more {number}")
        await tenant.create_channel(f"more {number}")
        await LegacyAgent.register(tenant, name=f"more {number}")
    for path in ("/clients", "/channels", "/activity/logs", "/agents"):
        page = await tenant.call("GET", f"{path}?limit=1", 200)
        cursor = page["next_cursor"]
        answer = await other_tenant.http.get(path, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), path
        assert re.search("more", answer.text) is None
