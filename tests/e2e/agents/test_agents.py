"""Agents with SSH keys: records, proofs, sockets, and the wall between organizations."""

import asyncio
import base64
import contextlib
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from support.actors import Client, User
from support.agents import LegacyAgent, to_openssh, to_pem
from support.waiting import eventually

REFUSED = "4401"


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


async def strangers_get(stack, path, **kwargs):
    async with httpx.AsyncClient(base_url=f"{stack.api}/api/v1", timeout=10) as http:
        return await http.request(path.partition(" ")[0], path.partition(" ")[2], **kwargs)


# -- records -------------------------------------------------------------------------------------


async def test_an_agent_is_made_read_changed_listed_and_deleted(tenant, rsa_key):
    made = await tenant.call(
        "POST",
        "/agents",
        201,
        json={"name": "old one", "public_key": to_pem(rsa_key), "description": "d", "metadata": {"a": [1]}},
    )
    agent = made["agent"]
    assert made["private_key"] is None
    assert made["connection"]["websocket_url"].endswith(f"/ws/agent/{agent['agent_id']}")
    assert agent["tenant_id"] == tenant.id
    assert (agent["name"], agent["description"], agent["metadata"]) == ("old one", "d", {"a": [1]})
    assert (agent["status"], agent["last_seen"], agent["key_type"]) == ("offline", None, "rsa")
    # Whatever form it came in, it is kept and shown in one.
    assert agent["public_key"] == to_openssh(rsa_key)
    assert agent["fingerprint"].startswith("SHA256:")
    path = f"/agents/{agent['agent_id']}"
    assert await tenant.call("GET", path, 200) == agent
    changed = await tenant.call("PUT", path, 200, json={"name": "new name", "metadata": {}})
    assert (changed["name"], changed["metadata"], changed["description"]) == ("new name", {}, "d")
    assert await tenant.call("DELETE", path, 200)
    for method in ("GET", "DELETE"):
        assert (await tenant.call(method, path, 404))["code"] == "agent_not_found"
    assert (await tenant.call("PUT", path, 404, json={"name": "x"}))["code"] == "agent_not_found"
    # The name is free again.
    await LegacyAgent.register(tenant, name="new name")


@pytest.mark.parametrize(("key_type", "begins"), [(None, "ssh-ed25519"), ("rsa", "ssh-rsa")])
async def test_a_generated_key_is_shown_once_and_works(tenant, key_type, begins):
    body = {"name": "generated"} | ({"key_type": key_type} if key_type else {})
    made = await tenant.call("POST", "/agents", 201, json=body)
    assert made["warning"]
    assert made["agent"]["public_key"].startswith(begins)
    agent = LegacyAgent(tenant, made, load_pem_private_key(made["private_key"].encode(), None))
    await agent.connect_websocket()
    shown = (await tenant.http.get(f"/agents/{agent.id}")).text
    assert "PRIVATE" not in shown


async def test_every_answer_tells_of_the_successor(tenant):
    agent = await LegacyAgent.register(tenant)
    answers = [
        await tenant.http.get("/agents"),
        await tenant.http.get(f"/agents/{agent.id}"),
        await tenant.http.get("/agents/status/summary"),
        await tenant.http.get(f"/agents/{agent.id}/challenge"),
        await tenant.http.get("/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        await tenant.http.post("/agents", json={"nonsense": 1}),
        await tenant.http.get("/agents", headers={"Authorization": "Bearer junk"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 400, 401]
    for answer in answers:
        assert re.fullmatch(r"@\d+", answer.headers["Deprecation"])
        assert answer.headers["Link"] == '</api/v1/clients>; rel="successor-version"'
    assert "Deprecation" not in (await tenant.http.get("/clients")).headers


@pytest.mark.parametrize("kind", ["short rsa", "ec", "private", "junk", "empty"])
async def test_a_key_that_no_agent_may_have_is_refused(tenant, kind):
    key = {
        "short rsa": lambda: to_openssh(rsa.generate_private_key(65537, 1024)),
        "ec": lambda: to_openssh(ec.generate_private_key(ec.SECP256R1())),
        "private": lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        "junk": lambda: "ssh-rsa AAAA me@home",
        "empty": lambda: "",
    }[kind]()
    agent = await LegacyAgent.register(tenant)
    refusals = [
        await tenant.call("POST", "/agents", 400, json={"name": "bad", "public_key": key}),
        await tenant.call("PUT", f"/agents/{agent.id}", 400, json={"public_key": key}),
    ]
    for refusal in refusals:
        assert refusal["code"] == "invalid_request"
        assert [error["field"] for error in refusal["errors"]] == ["public_key"]
    assert len((await tenant.call("GET", "/agents", 200))["agents"]) == 1


async def test_names_are_unique_and_unknown_fields_are_named(tenant):
    await LegacyAgent.register(tenant, name="Twin")
    again = await tenant.call("POST", "/agents", 409, json={"name": "twin"})
    assert again["code"] == "name_taken"
    unknown = await tenant.call("POST", "/agents", 400, json={"name": "x", "nkey": "U"})
    assert [error["field"] for error in unknown["errors"]] == ["nkey"]
    assert (await tenant.call("POST", "/agents", 400, json={"name": ""}))["errors"][0]["field"] == "name"
    assert (await tenant.call("GET", "/agents?status=away", 400))["code"] == "invalid_request"


async def test_lists_go_on_by_cursor_and_are_filtered_by_status(tenant, other_tenant):
    agents = [await LegacyAgent.register(tenant, name=f"a{number}") for number in range(5)]
    await tenant.call("PUT", f"/agents/{agents[0].id}", 200, json={"status": "suspended"})
    socket = await agents[1].connect_websocket()
    seen, cursor = [], ""
    while cursor is not None:
        page = await tenant.call("GET", f"/agents?limit=2{cursor and '&cursor='}{cursor}", 200)
        assert len(page["agents"]) <= 2
        seen += [agent["agent_id"] for agent in page["agents"]]
        cursor = page["next_cursor"]
        if cursor:
            foreign = await other_tenant.call("GET", f"/agents?cursor={cursor}", 400)
            assert foreign["code"] == "invalid_cursor"
    assert seen == [agent.id for agent in agents]
    wanted = {"total": 5, "online": 1, "offline": 3, "suspended": 1}

    async def summary():
        return await tenant.call("GET", "/agents/status/summary", 200) == wanted

    await eventually(summary)
    for status, count in (("online", 1), ("offline", 3), ("suspended", 1)):
        page = await tenant.call("GET", f"/agents?status={status}", 200)
        assert len(page["agents"]) == count
        assert {agent["status"] for agent in page["agents"]} == {status}
    assert await tenant.call("GET", "/clients", 200) == {"clients": [], "next_cursor": None}
    await socket.close()
    wanted |= {"online": 0, "offline": 4}
    await eventually(summary)
    assert (await tenant.call("GET", f"/agents/{agents[1].id}", 200))["last_seen"]
    assert (await other_tenant.call("GET", "/agents/status/summary", 200))["total"] == 0


async def test_agents_and_clients_share_one_limit(new_stack):
    async with new_stack({"ARTCAFE_DEFAULT_PLAN": "free"}) as stack:
        tenant = await (await User.sign_up(stack)).create_organization()
        await LegacyAgent.register(tenant)
        await tenant.create_client()
        last = await LegacyAgent.register(tenant)
        for path in ("/agents", "/clients"):
            assert (await tenant.call("POST", path, 409, json={"name": "one more"}))["code"] == "plan_limit"
        await tenant.call("DELETE", f"/agents/{last.id}", 200)
        await tenant.create_client()
        assert (await tenant.call("POST", "/agents", 409, json={"name": "no"}))["code"] == "plan_limit"


async def test_a_viewer_looks_and_changes_nothing(tenant, other_tenant):
    user_id = (await other_tenant.call("GET", f"/accounts/{other_tenant.id}/members", 200))["members"][0][
        "user_id"
    ]
    body = {"user_id": user_id, "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
    agent = await LegacyAgent.register(tenant)
    viewer = {"headers": {"X-Tenant-Id": tenant.id}}
    assert (await other_tenant.http.get(f"/agents/{agent.id}", **viewer)).status_code == 200
    for answer in (
        await other_tenant.http.post("/agents", json={"name": "x"}, **viewer),
        await other_tenant.http.put(f"/agents/{agent.id}", json={"name": "x"}, **viewer),
        await other_tenant.http.delete(f"/agents/{agent.id}", **viewer),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


# -- proofs --------------------------------------------------------------------------------------


async def test_a_challenge_is_asked_for_by_anybody_and_says_nothing(tenant, stack):
    agent = await LegacyAgent.register(tenant)
    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    shapes = set()
    for agent_id in (agent.id, unknown, "no such thing"):
        for tenant_id in (tenant.id, unknown, "x"):
            answer = await strangers_get(
                stack,
                "POST /auth/agent/challenge",
                json={"agent_id": agent_id},
                headers={"X-Tenant-Id": tenant_id},
            )
            other = await strangers_get(
                stack, f"GET /agents/{agent_id}/challenge", headers={"X-Tenant-Id": tenant_id}
            )
            for each in (answer, other):
                told = each.json()
                ends = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
                assert timedelta(minutes=4) < ends <= timedelta(minutes=5)
                shapes.add((each.status_code, tuple(told), len(told["challenge"])))
    assert len(shapes) == 1
    for body in ({}, {"agent_id": ""}, {"agent_id": "x" * 200}, {"agent_id": 1}):
        refused = await strangers_get(stack, "POST /auth/agent/challenge", json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")


async def test_challenges_are_bounded_for_each_agent(tenant, stack):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    # A minute may begin in between, hence twice as many.
    answers = [await strangers_get(stack, f"GET /agents/{agent.id}/challenge") for _ in range(61)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    assert refused[0].status_code == 429
    assert refused[0].json()["code"] == "challenge_rate_exceeded"
    assert int(refused[0].headers["Retry-After"]) <= 60
    await other.request_challenge()


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_verify_gives_a_token_for_a_signature_once(tenant, other_tenant, kind, rsa_key):
    key = rsa_key if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    agent, other = await LegacyAgent.register(tenant, key=key), await LegacyAgent.register(tenant)

    async def verify(status, **changes):
        body = {"agent_id": agent.id, "tenant_id": tenant.id, **await agent.signed_challenge(), **changes}
        answer = await strangers_get(tenant.stack, "POST /auth/agent/verify", json=body)
        assert answer.status_code == status, answer.text
        if status == 401:
            assert answer.json()["code"] == "authentication_failed"
        return answer.json(), body

    told, body = await verify(200)
    assert told["valid"] is True
    ends = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    # Once only.
    again = await strangers_get(tenant.stack, "POST /auth/agent/verify", json=body)
    assert (again.status_code, again.json()["code"]) == (401, "authentication_failed")
    # In either alphabet, padded or not.
    challenge = await agent.request_challenge()
    urlsafe = base64.urlsafe_b64encode(base64.b64decode(agent.sign(challenge))).decode().rstrip("=")
    await verify(200, challenge=challenge, signature=urlsafe)
    # Another's key, another's challenge, one that nobody gave out, nonsense, another tenant.
    challenge = await agent.request_challenge()
    await verify(401, challenge=challenge, signature=agent.sign(challenge, other.key))
    foreign = await other.request_challenge()
    await verify(401, challenge=foreign, signature=agent.sign(foreign))
    own = "7d0c3c6e-0000-4000-8000-000000000000"
    await verify(401, challenge=own, signature=agent.sign(own))
    await verify(401, challenge="", signature="")
    await verify(401, signature="!" * 400)
    await verify(401, tenant_id=other_tenant.id)
    await verify(401, agent_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    # A client's nonce is no agent's challenge.
    nonce = (await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": agent.id}))["nonce"]
    await verify(401, challenge=nonce, signature=agent.sign(nonce))


async def test_of_two_who_answer_at_once_one_wins(tenant):
    agent = await LegacyAgent.register(tenant)
    for _ in range(5):
        body = {"agent_id": agent.id, **await agent.signed_challenge()}
        answers = await asyncio.gather(*(tenant.http.post("/auth/agent/verify", json=body) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200, *[401] * 5]


async def test_a_token_opens_the_agents_socket_and_nothing_else(tenant, other_tenant):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    token = await agent.request_token()
    bearer = {"Authorization": f"Bearer {token}"}
    socket = await agent.connect_websocket(headers=bearer)
    assert socket.welcome["client_id"] == agent.id
    assert socket.welcome["tenant_id"] == tenant.id
    await agent.connect_websocket(root="/api/v1/ws", headers=bearer)
    for path in ("/agents", "/clients", "/accounts", f"/agents/{agent.id}", "/channels", "/usage/current"):
        answer = await tenant.http.get(path, headers=bearer)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    with pytest.raises(ConnectionError, match=REFUSED):
        await other.connect_websocket(headers=bearer)
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket(headers={**bearer, "X-Tenant-Id": other_tenant.id})
    head, claims, signature = token.split(".")
    changed = base64.urlsafe_b64decode(claims + "==").replace(b'"artcafe-agent', b'"artcafe-agenT')
    forged = base64.urlsafe_b64encode(changed).decode().rstrip("=")
    for bad in (tenant.owner.token, f"{head}.{forged}.{signature}", f"{head}.{claims}.", "junk", "a.b.c"):
        with pytest.raises(ConnectionError, match=REFUSED):
            await agent.connect_websocket(headers={"Authorization": f"Bearer {bad}"})
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket(headers={"Authorization": "Basic eDp5"})
    # It ends with the key that it was given for.
    agent.key = ed25519.Ed25519PrivateKey.generate()
    await tenant.call("PUT", f"/agents/{agent.id}", 200, json={"public_key": to_openssh(agent.key)})
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket(headers=bearer)
    await agent.connect_websocket(headers={"Authorization": f"Bearer {await agent.request_token()}"})


# -- sockets -------------------------------------------------------------------------------------


async def test_every_way_of_naming_the_tenant(tenant, other_tenant):
    agent = await LegacyAgent.register(tenant)
    for root in ("/ws", "/api/v1/ws"):
        await agent.connect_websocket(root=root, **await agent.signed_challenge())
        await agent.connect_websocket(root=root, **await agent.signed_challenge(), agent_id=agent.id)
        await agent.connect_websocket(
            root=root, **await agent.signed_challenge(), headers={"X-Tenant-Id": tenant.id}
        )
        socket = await agent.connect_websocket(
            root=root, **await agent.signed_challenge(), tenant_id=tenant.id
        )
        assert socket.welcome["tenant_id"] == tenant.id
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket(**await agent.signed_challenge(), tenant_id=other_tenant.id)
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket(
            **await agent.signed_challenge(), headers={"X-Tenant-Id": other_tenant.id}
        )


async def test_a_quick_return_hears_and_sockets_of_one_agent_are_independent(tenant):
    agent, teller = (
        await LegacyAgent.register(tenant),
        await (await tenant.create_client()).connect_websocket(),
    )
    sockets = []
    for number in range(10):
        sockets.append(await agent.connect_websocket())
        await sockets[-1].subscribe(subject="again")
        if len(sockets) > 2:
            gone = sockets.pop(0)
            if number % 2:
                await gone.close()
            else:
                gone.ws.transport.abort()
        await teller.send_and_receive("publish", "published", subject="again", data=number, id=number)
        for socket in sockets:
            assert (await socket.receive("message"))["data"] == number


async def test_a_wrong_proof_is_4401_and_disturbs_nobody(tenant, stack):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    live = await agent.connect_websocket()
    await live.subscribe(subject="calm")
    used = await agent.signed_challenge()
    await agent.connect_websocket(**used)
    challenge = await agent.request_challenge()
    own = "7d0c3c6e-0000-4000-8000-000000000000"
    for wrong in (
        used,
        {"challenge": challenge, "signature": other.sign(challenge)},
        {"challenge": own, "signature": agent.sign(own)},
        {"challenge": await agent.request_challenge()},
        {"signature": "x"},
        {"challenge": "", "signature": ""},
        {"agent_id": agent.id},
        {"challenge": "ch_" + "x" * 2500, "signature": "y" * 2500},
        await other.signed_challenge(),
    ):
        with pytest.raises(ConnectionError, match=REFUSED):
            await agent.connect_websocket(**wrong)
    for stranger_id in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "nobody", "%00", "a" * 400):
        with pytest.raises(ConnectionError, match=REFUSED):
            await agent.connect_websocket(path_id=stranger_id, **await agent.signed_challenge())
    assert live.closed is None
    teller = await other.connect_websocket()
    await teller.send_and_receive("publish", "published", subject="calm", data="still here", id=1)
    assert (await live.receive("message"))["data"] == "still here"
    assert (await tenant.call("GET", f"/agents/{agent.id}", 200))["status"] == "online"
    # What the URL bore stands in no log.
    text = "".join(path.read_text() for path in (stack.directory / "logs").glob("*.log"))
    assert used["challenge"] not in text
    assert used["signature"] not in text
    assert "signature=" not in text
    assert used["signature"] not in text


@pytest.mark.parametrize("how", ["deleted", "suspended", "key_regenerated"])
async def test_live_sockets_end_when_the_agent_does(tenant, how):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    token = await agent.request_token()
    sockets = [
        await agent.connect_websocket(),
        await agent.connect_websocket(headers={"Authorization": f"Bearer {token}"}),
    ]
    bystander = await other.connect_websocket()
    path = f"/agents/{agent.id}"
    if how == "deleted":
        await tenant.call("DELETE", path, 200)
    elif how == "suspended":
        assert (await tenant.call("PUT", path, 200, json={"status": "suspended"}))["status"] == "suspended"
    else:
        new = to_openssh(ed25519.Ed25519PrivateKey.generate())
        await tenant.call("PUT", path, 200, json={"public_key": new})
    assert [await socket.wait_closed() for socket in sockets] == [(4403, how)] * 2
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket()
    with pytest.raises(ConnectionError, match=REFUSED):
        await agent.connect_websocket(headers={"Authorization": f"Bearer {token}"})
    assert await bystander.send_and_receive("ping", "pong")
    if how == "suspended":
        await tenant.call("PUT", path, 200, json={"status": "active"})
        await agent.connect_websocket()


async def test_other_changes_disturb_nobody(tenant):
    agent = await LegacyAgent.register(tenant)
    socket = await agent.connect_websocket()
    body = {"name": "renamed", "public_key": to_pem(agent.key), "status": "active"}
    await tenant.call("PUT", f"/agents/{agent.id}", 200, json=body)
    assert await socket.send_and_receive("ping", "pong")


# -- frames --------------------------------------------------------------------------------------


async def test_agents_and_clients_meet_in_every_shape(tenant):
    agent, client = await LegacyAgent.register(tenant), await tenant.create_client()
    legacy, modern, direct = (
        await agent.connect_websocket(),
        await client.connect_websocket(),
        await client.connect_nats(),
    )
    for frame, subject in (
        ({"subject": "s.one"}, "s.one"),
        ({"channel": "s.two"}, "s.two"),
        ({"topic": "s.three"}, "s.three"),
        ({"subject": f"tenant.{tenant.id}.s.four"}, f"tenant.{tenant.id}.s.four"),
        ({"subject": f"{tenant.id}.s.five"}, f"{tenant.id}.s.five"),
    ):
        await legacy.subscribe(**frame)
        name = subject.removeprefix("tenant.").removeprefix(f"{tenant.id}.")
        await modern.send_and_receive("publish", "published", subject=name, data={"n": 1}, id=1)
        message = await legacy.receive("message")
        assert (message["subject"], message["data"], message["from"]) == (subject, {"n": 1}, client.id)
        await direct.publish(f"{tenant.id}.{name}", b"2")
        assert (await legacy.receive("message"))["data"] == 2
        await modern.subscribe(subject=name)
        for where in ({"subject": name}, {"channel": name}, {"topic": name}):
            for body in ({"data": [3]}, {"message": [3]}):
                await legacy.send_and_receive("publish", "published", id=2, **where, **body)
                message = await modern.receive("message")
                assert (message["subject"], message["data"], message["from"]) == (name, [3], agent.id)
        await legacy.send_and_receive("unsubscribe", "unsubscribed", **frame)
        await modern.send_and_receive("unsubscribe", "unsubscribed", subject=name)
        legacy._pending.clear()
        modern._pending.clear()
        await modern.send_and_receive("publish", "published", subject=name, data="gone", id=3)
    await legacy.assert_no_frame("message")


async def test_the_body_is_under_message_for_who_subscribed_by_subjects(tenant):
    old, older = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    by_subjects, by_subject = await old.connect_websocket(), await older.connect_websocket()
    await by_subjects.subscribe(subject="first")
    full = f"tenant.{tenant.id}.both.*"
    await by_subjects.send(type="subscribe", subjects=[full, f"tenant.{tenant.id}.more"])
    assert (await by_subjects.receive("subscribed", subject=full))["type"] == "subscribed"
    await by_subjects.receive("subscribed", subject=f"tenant.{tenant.id}.more")
    await by_subject.subscribe(subject="both.*")
    await by_subject.send_and_receive(
        "publish", "published", subject="both.x", message={"payload": {"n": 1}}, id=1
    )
    told = await by_subjects.receive("message")
    assert (told["subject"], told["message"]) == (f"tenant.{tenant.id}.both.x", {"payload": {"n": 1}})
    assert "data" not in told
    told = await by_subject.receive("message")
    assert (told["subject"], told["data"]) == ("both.x", {"payload": {"n": 1}})
    assert "message" not in told
    # One socket has one way, also for what it asked for before.
    await by_subject.send_and_receive("publish", "published", subject="first", data=7, id=2)
    assert (await by_subjects.receive("message"))["message"] == 7
    # Overlapping: still once.
    await by_subjects.send(type="subscribe", subjects=["both.x"])
    await by_subjects.receive("subscribed", subject="both.x")
    await by_subject.send_and_receive("publish", "published", subject="both.x", data=8, id=3)
    assert (await by_subjects.receive("message"))["message"] == 8
    await by_subjects.assert_no_frame("message")


async def test_agents_address_each_other_by_their_ids(tenant, other_tenant):
    one, other, alien = [await LegacyAgent.register(each) for each in (tenant, tenant, other_tenant)]
    client = await (await tenant.create_client()).connect_websocket()
    here, there = await one.connect_websocket(), await other.connect_websocket()
    await there.subscribe(subject=f"agents.{other.id}.*")
    await here.send_and_receive("publish", "published", subject=f"agents.{other.id}.hello", data=1, id=1)
    message = await there.receive("message")
    assert (message["subject"], message["from"]) == (f"agents.{other.id}.hello", one.id)
    await client.send_and_receive(
        "publish", "published", subject=f"{tenant.id}.agents.{other.id}.hi", data=2, id=1
    )
    assert (await there.receive("message"))["subject"] == f"agents.{other.id}.hi"
    for foreign in (alien.id, other_tenant.id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        for kind in ("subscribe", "publish"):
            await here.send(type=kind, subject=f"agents.{foreign}.x", data=1, id="f")
            assert (await here.receive("error"))["code"] == "forbidden_subject"


async def test_a_managed_channel_is_named_by_its_id(tenant):
    agent, client = await LegacyAgent.register(tenant), await tenant.create_client()
    legacy, modern = await agent.connect_websocket(), await client.connect_websocket()
    channel = (await tenant.create_channel())["channel_id"]
    await legacy.subscribe(channel=channel)
    await modern.subscribe(channel=channel)
    await tenant.call("POST", f"/channels/{channel}/messages", 202, json={"n": 1})
    assert (await legacy.receive("message"))["channel"] == channel
    await modern.receive("message")
    await legacy.send_and_receive("publish", "published", channel=channel, data=2, id=1)
    message = await modern.receive("message")
    assert (message["channel"], message["data"], message["from"]) == (channel, 2, agent.id)


async def test_bad_frames_are_answered_and_do_not_close(tenant):
    socket = await (await LegacyAgent.register(tenant)).connect_websocket()
    for frame, code in (
        ({"type": "subscribe"}, "bad_frame"),
        ({"type": "subscribe", "subject": "a", "topic": "b"}, "bad_frame"),
        ({"type": "subscribe", "subjects": []}, "bad_frame"),
        ({"type": "subscribe", "subjects": ["ok", "a b"]}, "bad_subject"),
        ({"type": "subscribe", "subjects": "x"}, "bad_frame"),
        ({"type": "subscribe", "subject": "agents..x"}, "bad_subject"),
        ({"type": "unsubscribe"}, "bad_frame"),
        ({"type": "publish", "subject": "a"}, "bad_frame"),
        ({"type": "publish", "subject": "a", "data": 1, "message": 2}, "bad_frame"),
        ({"type": "publish", "data": 1}, "bad_frame"),
        ({"type": "publish", "channel": "a b", "data": 1}, "bad_subject"),
        ({"type": "publish", "subject": "presence.x", "data": 1}, "forbidden_subject"),
        (
            {"type": "publish", "subject": "tenant.01ARZ3NDEKTSV4RRFFQ69G5FAV.x", "data": 1},
            "forbidden_subject",
        ),
        ({"type": "dance"}, "unknown_type"),
    ):
        await socket.send(**frame, id="q")
        error = await socket.receive("error", id="q")
        assert error["code"] == code, (frame, error)
    # The good one among bad ones was heard.
    await socket.send_and_receive("publish", "published", subject="ok", data=1, id=1)
    assert (await socket.receive("message"))["message"] == 1
    await socket.send(type="presence", agent_id="x", status="online", capabilities=["a"], metadata={"k": 1})
    assert (await socket.send_and_receive("heartbeat", "heartbeat_ack"))["timestamp"]


async def test_presence_and_usage_know_agents(tenant):
    board = await tenant.connect_dashboard()
    agent, client = await LegacyAgent.register(tenant), await tenant.create_client()
    watcher = await client.connect_websocket()
    await watcher.subscribe(subject="presence.*")
    socket = await agent.connect_websocket()
    assert (await board.receive("presence", client_id=agent.id))["status"] == "online"
    await watcher.receive("message", subject=f"presence.{agent.id}")
    for number in range(3):
        await socket.send_and_receive("publish", "published", subject="counted", data=number, id=number)

    async def counted():
        stats = await tenant.call("GET", "/usage/local/stats", 200)
        return stats if agent.id in str(stats) else None

    await eventually(counted)
    await socket.close()
    assert (await board.receive("presence", client_id=agent.id, status="offline"))["last_seen"]


async def test_another_organization_sees_nothing(tenant, other_tenant):
    agent, foreign = (
        await LegacyAgent.register(tenant, name="same"),
        await LegacyAgent.register(other_tenant, name="same"),
    )
    # Its ids answer like ids that do not exist.
    missing = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    for method, body in (("GET", None), ("PUT", {"status": "suspended"}), ("DELETE", None)):
        answers = [
            await other_tenant.http.request(method, f"/agents/{each}", json=body)
            for each in (agent.id, missing)
        ]
        problems = [answer.json() for answer in answers]
        for problem in problems:
            problem.pop("request_id")
        assert problems[0] == problems[1]
        assert {answer.status_code for answer in answers} == {404}
    assert [a["agent_id"] for a in (await other_tenant.call("GET", "/agents", 200))["agents"]] == [foreign.id]
    here, there = await agent.connect_websocket(), await foreign.connect_websocket()
    for frame in ({"subject": "talk"}, {"channel": "talk"}, {"subjects": ["talk.>", "agents.>", "*"]}):
        await there.send(type="subscribe", **frame)
    await there.send_and_receive("ping", "pong")
    await here.send_and_receive("publish", "published", subject="talk", data="secret", id=1)
    await here.send_and_receive("publish", "published", subject="agents.presence.online", data="secret", id=2)
    await there.assert_no_frame("message")
    for subject in (f"tenant.{tenant.id}.talk", f"{tenant.id}.>", f"agents.{tenant.id}.x"):
        await there.send(type="subscribe", subject=subject, id=subject)
        assert (await there.receive("error", id=subject))["code"] == "forbidden_subject"
    assert await here.send_and_receive("ping", "pong")


async def test_the_activity_log_tells_of_agents(tenant):
    agent = await LegacyAgent.register(tenant)
    await (await agent.connect_websocket()).close()
    path = f"/agents/{agent.id}"
    await tenant.call("PUT", path, 200, json={"status": "suspended"})
    await tenant.call("DELETE", path, 200)
    wanted = {"agent.created", "agent.connected", "agent.disconnected", "agent.updated", "agent.deleted"}

    async def told():
        logs = (await tenant.call("GET", "/activity/logs", 200))["logs"]
        return wanted == {each["action"] for each in logs if each["resource"] == f"agent:{agent.id}"}

    await eventually(told)
    assert len((await tenant.call("GET", "/activity/logs?type=agent", 200))["logs"]) == 3


# -- becoming clients ------------------------------------------------------------------------------


async def migrate(tenant, *options):
    done = await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).parent / "artcafe"), "migrate-agents", tenant.id, *map(str, options)],
        env=tenant.stack.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


async def test_agents_become_clients_and_a_broken_run_goes_on(tenant, other_tenant, tmp_path):
    one = await LegacyAgent.register(tenant, name="One", metadata={"zone": "b"}, description="the first")
    other = await LegacyAgent.register(tenant, name="Other")
    twin = await LegacyAgent.register(tenant, name="Twin")
    foreign = await LegacyAgent.register(other_tenant, name="One")
    await tenant.create_client("twin")
    await tenant.call("PUT", f"/agents/{other.id}", 200, json={"status": "suspended"})
    live = await one.connect_websocket()
    seeds = tmp_path / "seeds.jsonl"
    # By default it only looks.
    looked = await migrate(tenant, "--seeds", seeds)
    assert looked.returncode == 0
    assert one.id in looked.stdout
    assert not seeds.exists()
    assert len((await tenant.call("GET", "/agents", 200))["agents"]) == 3
    # A run that ended between noting the first seed and using it, and in the middle of a line.
    pair = create_key_pair(KeyKind.USER)
    noted = {"tenant_id": tenant.id, "client_id": one.id, "name": "One"}
    noted |= {"nkey_public": pair.public, "nkey_seed": pair.seed}
    seeds.write_text(json.dumps(noted) + '\n{"tenant_id": "')
    done = await migrate(tenant, "--seeds", seeds, "--apply")
    assert done.returncode == 1
    assert "name_taken" in done.stdout
    assert await live.wait_closed() == (4403, "deleted")
    found = {}
    for line in seeds.read_text().splitlines():
        with contextlib.suppress(ValueError):
            found[json.loads(line)["client_id"]] = json.loads(line)["nkey_seed"]
    assert found.keys() == {one.id, other.id, twin.id}
    assert found[one.id] == pair.seed
    assert pair.seed not in done.stdout
    client = await tenant.call("GET", f"/clients/{one.id}", 200)
    assert (client["name"], client["nkey_public"]) == ("One", pair.public)
    assert client["metadata"] == {"zone": "b", "description": "the first"}
    assert (await tenant.call("GET", f"/clients/{other.id}", 200))["status"] == "suspended"
    assert [a["agent_id"] for a in (await tenant.call("GET", "/agents", 200))["agents"]] == [twin.id]
    made = await tenant.call("POST", "/clients", 201, json={"name": "new"})
    now = Client(tenant, {**made, "client": client, "nkey_seed": pair.seed})
    now.connection = {**now.connection, "websocket_url": f"{one.root}/ws/client/{one.id}"}
    assert (await now.connect_websocket()).welcome["client_id"] == one.id
    await now.connect_nats()
    # The name's other bearer steps aside, and the same command does the rest.
    await tenant.call("PUT", f"/agents/{twin.id}", 200, json={"name": "Twin the agent"})
    done = await migrate(tenant, "--seeds", seeds, "--apply")
    assert done.returncode == 0
    assert (await tenant.call("GET", "/agents", 200))["agents"] == []
    public = KeyPair(found[twin.id]).public
    assert (await tenant.call("GET", f"/clients/{twin.id}", 200))["nkey_public"] == public
    assert (await migrate(tenant, "--seeds", seeds, "--apply")).returncode == 0
    # Nobody else was touched.
    assert (await other_tenant.call("GET", f"/agents/{foreign.id}", 200))["name"] == "One"


# -- challenges that agents made themselves --------------------------------------------------------


async def test_self_made_challenges_work_once_where_the_operator_allows_them(new_stack):
    async with new_stack({"ARTCAFE_ALLOW_CLIENT_CHALLENGE": "true"}) as stack:
        tenant = await (await User.sign_up(stack)).create_organization()
        agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
        own = "7d0c3c6e-0000-4000-8000-000000000000"
        # A stranger's try does not use it up.
        with pytest.raises(ConnectionError, match=REFUSED):
            await agent.connect_websocket(challenge=own, signature=other.sign(own), tenant_id=tenant.id)
        live = await agent.connect_websocket(challenge=own, signature=agent.sign(own), tenant_id=tenant.id)
        with pytest.raises(ConnectionError, match=REFUSED):
            await agent.connect_websocket(challenge=own, signature=agent.sign(own), tenant_id=tenant.id)
        # It is this agent's only, and ours still work once.
        await other.connect_websocket(challenge=own, signature=other.sign(own))
        proof = await agent.signed_challenge()
        await agent.connect_websocket(**proof)
        for bad in (proof["challenge"], "ch_short", "x" * 300, ""):
            with pytest.raises(ConnectionError, match=REFUSED):
                await agent.connect_websocket(challenge=bad, signature=agent.sign(bad))
        body = {"agent_id": agent.id, "challenge": own, "signature": agent.sign(own)}
        assert (await tenant.call("POST", "/auth/agent/verify", 401, json=body))["code"]
        assert await live.send_and_receive("ping", "pong")
