"""Challenges, tokens and logins of legacy agents."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from support.actors import User
from support.agents import LegacyAgent, to_openssh

REFUSED = "4401"


async def strangers_get(stack, path, **kwargs):
    async with httpx.AsyncClient(base_url=f"{stack.api}/api/v1", timeout=10) as http:
        return await http.request(path.partition(" ")[0], path.partition(" ")[2], **kwargs)


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
