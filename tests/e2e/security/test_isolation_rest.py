"""Every route, called by members, clients and agents of another organization.

Each request is sent twice, with existing ids and with unknown ids. The responses must not differ in
status, headers or body, and the services must send each other the same commands. Equal commands stand
for equal response times, which are not measured.
"""

import asyncio
import json
import re
import time

import httpx

from artcafe_common.clock import new_id
from artcafe_gateway.lookup_cache import MISSING_CHANNEL_AGE_S
from support.agents import LegacyAgent
from support.api_examples import ROUTES, served_routes
from support.command_spy import CommandSpy
from support.isolation import unknown_ids
from support.problems import without_request_id
from support.tokens import decode_claims, sign_token
from support.waiting import eventually

# Routes without authorization, with the expected status. A new route needs an entry in one of these tables,
# unless its path has an id of a resource.
PUBLIC = {
    "POST /auth/login": 401,
    "POST /auth/refresh": 401,
    "POST /auth/logout": 200,
    "POST /auth/client/challenge": 200,
    "POST /auth/client/token": 401,
    "POST /auth/agent/challenge": 200,
    "POST /auth/agent/verify": 401,
    "GET /agents/{agent_id}/challenge": 200,
    "GET /health": 200,
    "GET /health/live": 200,
    "GET /health/ready": 200,
    "GET /metrics": 200,
}
# Routes about the user, independent of the organization.
PER_USER = {
    "GET /accounts": 200,
    "POST /accounts": 201,
    "GET /plans": 200,
    "GET /invitations": 200,
    "POST /invitations/{invitation_id}/accept": 404,
    "POST /invitations/{invitation_id}/decline": 404,
    "GET /profile/preferences": 200,
    "PUT /profile/preferences": 200,
}
# Routes that a member calls in the own organization, with foreign ids in the body.
IN_OWN_TENANT = {
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
    "GET /usage/hourly": 200,
    "GET /usage/top": 200,
    "GET /usage/refusals": 200,
    # Zeros for an id that was never counted in the organization.
    "GET /usage/clients/{client_id}": 200,
    "GET /usage/channels/{channel_id}": 200,
    "GET /connections": 200,
    "GET /roster": 200,
    "GET /activity/logs": 200,
    "GET /activity/summary": 200,
    "GET /activity/export": 200,
    "GET /status": 200,
    "GET /profile/me": 200,
    "PUT /profile/me": 200,
}
# Bodies with foreign ids; other routes get their usual body.
BODIES = {
    "POST /auth/login": {"email": "{email}", "password": "wrong"},
    "POST /auth/client/challenge": {"client_id": "{client_id}"},
    "POST /auth/client/token": {
        "client_id": "{client_id}",
        "nonce": "{challenge}",
        "signature": "{signature}",
    },
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
    "POST /agents": {"name": "{new_name}"},
    "POST /channels": {"name": "{new_name}"},
    "POST /channels/{channel_id}/messages": {"data": {"from": "a stranger"}},
}
# These differ between any two responses.
VOLATILE_HEADERS = {
    "content-length",
    "date",
    "etag",
    "ratelimit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-request-id",
}
CONCURRENCY = 6


class Caller:
    """A caller of the other organization, with its credentials and the organization that it names."""

    def __init__(self, name, authorization, *, own_tenant_id=None, member=False):
        self.name = name
        self.authorization = authorization
        self.own_tenant_id = own_tenant_id
        self.member = member

    def expected_status(self, route):
        if route in PUBLIC:
            return PUBLIC[route]
        if not self.member:
            return 401
        if route in PER_USER:
            return PER_USER[route]
        if self.own_tenant_id is None or "{account_id}" in route:
            return 403
        return IN_OWN_TENANT.get(route, 404)

    def headers(self, ids):
        headers = {"X-Tenant-Id": self.own_tenant_id or ids["account_id"]}
        return headers | ({"Authorization": self.authorization} if self.authorization else {})


async def create_callers(other_tenant):
    token = other_tenant.owner.token
    claims = decode_claims(token)
    client = await other_tenant.create_client("foreign")
    agent = other_tenant.legacy = await LegacyAgent.register(other_tenant)
    expired = sign_token({**claims, "exp": int(time.time()) - 100})
    return [
        Caller("member in its own tenant", f"Bearer {token}", own_tenant_id=other_tenant.id, member=True),
        Caller("member in the foreign tenant", f"Bearer {token}", member=True),
        Caller("client with its seed", f"Bearer {client.seed}"),
        Caller("client with its public key", f"Bearer {client.record['nkey_public']}"),
        Caller("agent", f"Bearer {await agent.request_token()}"),
        Caller("anonymous", None),
        Caller("junk", "Bearer junk"),
        Caller("expired", f"Bearer {expired}"),
    ]


def fill_placeholders(value, ids):
    if isinstance(value, dict):
        return {key: fill_placeholders(each, ids) for key, each in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(each, ids) for each in value]
    return value.format(**ids) if isinstance(value, str) else value


async def send_request(http, caller, route, ids):
    method, _, path = route.partition(" ")
    body = BODIES.get(route, ROUTES[route])
    content = None if body is None else json.dumps(fill_placeholders(body, ids))
    return await http.request(
        method, f"/api/v1{path.format(**ids)}", content=content, headers=caller.headers(ids)
    )


def visible_parts(response):
    """Everything in a response that may not depend on whether an id exists."""
    headers = {k: v for k, v in response.headers.items() if k not in VOLATILE_HEADERS}
    names = response.headers.keys() - {"content-length"}
    if response.is_success:
        return response.status_code, sorted(names), headers
    return response.status_code, sorted(names), headers, without_request_id(response)


async def test_tables_cover_every_route(tenant):
    routes = await served_routes(tenant)
    assert routes == set(ROUTES)
    assert BODIES.keys() <= routes
    assert PUBLIC.keys() | PER_USER.keys() | IN_OWN_TENANT.keys() <= routes
    # The paths of all other routes contain an id.
    rest = routes - PUBLIC.keys() - PER_USER.keys() - IN_OWN_TENANT.keys()
    assert [route for route in rest if "{" not in route] == []


async def test_foreign_ids_are_indistinguishable_from_unknown_ids(stack, victim, other_tenant):
    callers = await create_callers(other_tenant)
    spy = await CommandSpy.attach(stack)
    # The caller's own authorization is cached, so its commands are sent only sometimes.
    cached = (other_tenant.owner.token, other_tenant.id)
    private_data = [*victim.ids.values(), "of the victim", "hears all", victim.agent.record["nkey_public"]]
    failures, pairs = [], []
    limit = asyncio.Semaphore(CONCURRENCY)

    async def call_every_route(caller):
        # Public routes do not depend on the caller, and logins are rate limited.
        skip_public = caller.name not in ("member in the foreign tenant", "agent", "anonymous")
        for route in ROUTES:
            if route in PUBLIC and skip_public:
                continue
            responses = []
            if "{channel_id}" in route and caller.own_tenant_id:
                # The gateway remembers for a moment that the caller has no such channel. The foreign one was looked up
                # by the route before, an unknown id of this route was not.
                await asyncio.sleep(MISSING_CHANNEL_AGE_S + 0.1)
            for ids in (victim.ids, unknown_ids()):
                challenge = "ch_" + "x" * 43
                if route.endswith("/verify"):
                    path = "/api/v1/auth/agent/challenge"
                    issued = await http.post(path, json={"agent_id": ids["agent_id"]})
                    challenge = issued.json()["challenge"]
                extra = {
                    "challenge": challenge,
                    "signature": other_tenant.legacy.sign(challenge),
                    "new_name": new_id(),
                }
                async with limit:
                    responses.append(await send_request(http, caller, route, ids | extra))
            pairs.append((caller, route, responses))

    async def call_sequentially(callers):
        # Concurrent lookups for the same user are merged into one command.
        for caller in callers:
            await call_every_route(caller)

    members = [caller for caller in callers if caller.member]
    others = [[caller] for caller in callers if not caller.member]
    async with httpx.AsyncClient(base_url=stack.api, timeout=30) as http:
        await asyncio.gather(*map(call_sequentially, [members, *others]))
    await spy.flush()
    for caller, route, responses in pairs:
        foreign, unknown = responses
        context = (caller.name, route, foreign.status_code, foreign.text[:300])
        if foreign.status_code != caller.expected_status(route):
            failures.append(("status", *context))
        if visible_parts(foreign) != visible_parts(unknown):
            failures.append(("distinguishable", *context, unknown.status_code, unknown.text[:300]))
        commands = [
            spy.subjects_of_request(response.headers["x-request-id"], excluding=cached)
            for response in responses
        ]
        if commands[0] != commands[1]:
            failures.append(("commands", *context, *commands))
        if foreign.status_code == 401 and route not in PUBLIC and "tenancy" in str(commands):
            failures.append(("lookup before authentication", *context, *commands))
        if any(text in foreign.text for text in private_data):
            failures.append(("leaks", *context))
    assert failures == [], "\n".join(map(str, failures))
    assert len(pairs) == len(callers) * len(ROUTES) - 5 * len(PUBLIC)
    # The spy does record commands.
    recorded = [
        spy.subjects_of_request(response.headers["x-request-id"])
        for *_, responses in pairs
        for response in responses
    ]
    assert sum(map(len, recorded)) > 200


async def test_denied_access_is_recorded_in_the_named_organization(victim, other_tenant):
    """Not in the caller's organization, and without its ids."""
    caller = f"user:{decode_claims(other_tenant.owner.token)['sub']}"
    foreign = await other_tenant.create_client("foreign")
    for _ in range(3):
        response = await other_tenant.http.delete(
            f"/clients/{victim.agent.id}", headers={"X-Tenant-Id": victim.id}
        )
        assert response.status_code == 403
    # In the caller's own organization, a foreign id does not exist. This is not recorded.
    assert (await other_tenant.http.delete(f"/clients/{victim.agent.id}")).status_code == 404

    async def list_denials(tenant):
        log = await tenant.call("GET", "/activity/logs?type=access&limit=200", 200)
        return log["logs"]

    async def three_recorded():
        return len(await list_denials(victim)) >= 3

    await eventually(three_recorded)
    entries = await list_denials(victim)
    assert {(e["action"], e["actor"], e["status"]) for e in entries} == {("access.denied", caller, "denied")}
    assert len(entries) == 3
    assert other_tenant.id not in str(entries)
    assert foreign.id not in str(entries)
    assert await list_denials(other_tenant) == []


async def _has_connections(tenant, count):
    return len((await tenant.call("GET", "/connections", 200))["connections"]) == count


async def test_cursor_is_valid_only_in_its_organization(tenant, other_tenant):
    for number in range(2):
        await tenant.create_client(f"more {number}")
        await tenant.create_channel(f"more {number}")
        await LegacyAgent.register(tenant, name=f"more {number}")
        await (await tenant.create_client(f"live {number}")).connect_nats()
    await eventually(lambda: _has_connections(tenant, 2))
    for path in ("/clients", "/channels", "/activity/logs", "/agents", "/connections", "/roster"):
        page = await tenant.call("GET", f"{path}?limit=1", 200)
        cursor = page["next_cursor"]
        response = await other_tenant.http.get(path, params={"cursor": cursor})
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor"), path
        assert re.search("more", response.text) is None
