"""Challenges, tokens and logins of legacy agents."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from support.actors import User
from support.agents import LegacyAgent, to_openssh
from support.api_examples import UNKNOWN_ID

UNAUTHENTICATED = "4401"
CLIENT_CHALLENGE = "7d0c3c6e-0000-4000-8000-000000000000"


async def request_anonymously(stack, route, **kwargs):
    method, _, path = route.partition(" ")
    async with httpx.AsyncClient(base_url=f"{stack.api}/api/v1", timeout=10) as http:
        return await http.request(method, path, **kwargs)


async def test_challenges_do_not_reveal_whether_an_agent_exists(tenant, stack):
    agent = await LegacyAgent.register(tenant)
    shapes = set()
    for agent_id in (agent.id, UNKNOWN_ID, "no such thing"):
        for tenant_id in (tenant.id, UNKNOWN_ID, "x"):
            posted = await request_anonymously(
                stack,
                "POST /auth/agent/challenge",
                json={"agent_id": agent_id},
                headers={"X-Tenant-Id": tenant_id},
            )
            fetched = await request_anonymously(
                stack, f"GET /agents/{agent_id}/challenge", headers={"X-Tenant-Id": tenant_id}
            )
            for response in (posted, fetched):
                body = response.json()
                lifetime = datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC)
                assert timedelta(minutes=4) < lifetime <= timedelta(minutes=5)
                shapes.add((response.status_code, tuple(body), len(body["challenge"])))
    assert len(shapes) == 1
    for body in ({}, {"agent_id": ""}, {"agent_id": "x" * 200}, {"agent_id": 1}):
        response = await request_anonymously(stack, "POST /auth/agent/challenge", json=body)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


async def test_challenges_are_rate_limited_per_agent(tenant, stack):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    # Twice the limit and one more, because a new minute can begin in between.
    responses = [await request_anonymously(stack, f"GET /agents/{agent.id}/challenge") for _ in range(61)]
    rejected = [response for response in responses if response.status_code != 200]
    assert rejected
    assert rejected[0].status_code == 429
    assert rejected[0].json()["code"] == "challenge_rate_exceeded"
    assert int(rejected[0].headers["Retry-After"]) <= 60
    await other.request_challenge()


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_verify_exchanges_a_signed_challenge_for_a_token_once(tenant, other_tenant, kind, rsa_key):
    key = rsa_key if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    agent, other = await LegacyAgent.register(tenant, key=key), await LegacyAgent.register(tenant)

    async def verify(status, **changes):
        body = {"agent_id": agent.id, "tenant_id": tenant.id, **await agent.signed_challenge(), **changes}
        response = await request_anonymously(tenant.stack, "POST /auth/agent/verify", json=body)
        assert response.status_code == status, response.text
        if status == 401:
            assert response.json()["code"] == "authentication_failed"
        return response.json(), body

    issued, body = await verify(200)
    assert issued["valid"] is True
    lifetime = datetime.fromisoformat(issued["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < lifetime <= timedelta(hours=1)
    # The challenge is used up.
    again = await request_anonymously(tenant.stack, "POST /auth/agent/verify", json=body)
    assert (again.status_code, again.json()["code"]) == (401, "authentication_failed")
    # Signatures are accepted in both base64 alphabets, with and without padding.
    challenge = await agent.request_challenge()
    urlsafe = base64.urlsafe_b64encode(base64.b64decode(agent.sign(challenge))).decode().rstrip("=")
    await verify(200, challenge=challenge, signature=urlsafe)
    # The key or challenge of another agent, a challenge the server did not issue, nonsense, another tenant.
    challenge = await agent.request_challenge()
    await verify(401, challenge=challenge, signature=agent.sign(challenge, other.key))
    foreign = await other.request_challenge()
    await verify(401, challenge=foreign, signature=agent.sign(foreign))
    await verify(401, challenge=CLIENT_CHALLENGE, signature=agent.sign(CLIENT_CHALLENGE))
    await verify(401, challenge="", signature="")
    await verify(401, signature="!" * 400)
    await verify(401, tenant_id=other_tenant.id)
    await verify(401, agent_id=UNKNOWN_ID)
    # The nonce of a client is not the challenge of an agent.
    nonce = (await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": agent.id}))["nonce"]
    await verify(401, challenge=nonce, signature=agent.sign(nonce))


async def test_concurrent_use_of_a_challenge_succeeds_once(tenant):
    agent = await LegacyAgent.register(tenant)
    for _ in range(5):
        body = {"agent_id": agent.id, **await agent.signed_challenge()}
        responses = await asyncio.gather(
            *(tenant.http.post("/auth/agent/verify", json=body) for _ in range(6))
        )
        assert sorted(response.status_code for response in responses) == [200, *[401] * 5]


async def test_agent_token_opens_only_the_websocket_of_its_agent(tenant, other_tenant):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    token = await agent.request_token()
    bearer = {"Authorization": f"Bearer {token}"}
    socket = await agent.connect_websocket(headers=bearer)
    assert socket.welcome["client_id"] == agent.id
    assert socket.welcome["tenant_id"] == tenant.id
    await agent.connect_websocket(root="/api/v1/ws", headers=bearer)
    for path in ("/agents", "/clients", "/accounts", f"/agents/{agent.id}", "/channels", "/usage/current"):
        response = await tenant.http.get(path, headers=bearer)
        assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await other.connect_websocket(headers=bearer)
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket(headers={**bearer, "X-Tenant-Id": other_tenant.id})
    head, claims, signature = token.split(".")
    modified = base64.urlsafe_b64decode(claims + "==").replace(b'"artcafe-agent', b'"artcafe-agenT')
    forged = base64.urlsafe_b64encode(modified).decode().rstrip("=")
    for bad in (tenant.owner.token, f"{head}.{forged}.{signature}", f"{head}.{claims}.", "junk", "a.b.c"):
        with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
            await agent.connect_websocket(headers={"Authorization": f"Bearer {bad}"})
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket(headers={"Authorization": "Basic eDp5"})
    # A new key revokes the tokens of the old one.
    agent.key = ed25519.Ed25519PrivateKey.generate()
    await tenant.call("PUT", f"/agents/{agent.id}", 200, json={"public_key": to_openssh(agent.key)})
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket(headers=bearer)
    await agent.connect_websocket(headers={"Authorization": f"Bearer {await agent.request_token()}"})


async def test_websocket_accepts_the_tenant_in_query_and_header(tenant, other_tenant):
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
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket(**await agent.signed_challenge(), tenant_id=other_tenant.id)
    with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
        await agent.connect_websocket(
            **await agent.signed_challenge(), headers={"X-Tenant-Id": other_tenant.id}
        )


async def test_invalid_login_closes_4401_and_does_not_affect_live_sockets(tenant, stack):
    agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
    live = await agent.connect_websocket()
    await live.subscribe(subject="calm")
    used = await agent.signed_challenge()
    await agent.connect_websocket(**used)
    challenge = await agent.request_challenge()
    for invalid in (
        used,
        {"challenge": challenge, "signature": other.sign(challenge)},
        {"challenge": CLIENT_CHALLENGE, "signature": agent.sign(CLIENT_CHALLENGE)},
        {"challenge": await agent.request_challenge()},
        {"signature": "x"},
        {"challenge": "", "signature": ""},
        {"agent_id": agent.id},
        {"challenge": "ch_" + "x" * 2500, "signature": "y" * 2500},
        await other.signed_challenge(),
    ):
        with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
            await agent.connect_websocket(**invalid)
    for unknown_id in (UNKNOWN_ID, "nobody", "%00", "a" * 400):
        with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
            await agent.connect_websocket(path_id=unknown_id, **await agent.signed_challenge())
    assert live.closed is None
    publisher = await other.connect_websocket()
    await publisher.send_and_receive("publish", "published", subject="calm", data="still here", id=1)
    assert (await live.receive("message"))["data"] == "still here"
    assert (await tenant.call("GET", f"/agents/{agent.id}", 200))["status"] == "online"
    # No log contains the credentials from the URL.
    text = "".join(path.read_text() for path in (stack.directory / "logs").glob("*.log"))
    assert used["challenge"] not in text
    assert used["signature"] not in text
    assert "signature=" not in text


async def test_client_generated_challenges_work_once_if_enabled(new_stack):
    async with new_stack({"ARTCAFE_ALLOW_CLIENT_CHALLENGE": "true"}) as stack:
        tenant = await (await User.sign_up(stack)).create_organization()
        agent, other = await LegacyAgent.register(tenant), await LegacyAgent.register(tenant)
        own = CLIENT_CHALLENGE
        # A failed login does not use up the challenge.
        with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
            await agent.connect_websocket(challenge=own, signature=other.sign(own), tenant_id=tenant.id)
        live = await agent.connect_websocket(challenge=own, signature=agent.sign(own), tenant_id=tenant.id)
        with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
            await agent.connect_websocket(challenge=own, signature=agent.sign(own), tenant_id=tenant.id)
        # Another agent can use the same challenge, and challenges of the server still work once.
        await other.connect_websocket(challenge=own, signature=other.sign(own))
        issued = await agent.signed_challenge()
        await agent.connect_websocket(**issued)
        for bad in (issued["challenge"], "ch_short", "x" * 300, ""):
            with pytest.raises(ConnectionError, match=UNAUTHENTICATED):
                await agent.connect_websocket(challenge=bad, signature=agent.sign(bad))
        body = {"agent_id": agent.id, "challenge": own, "signature": agent.sign(own)}
        assert (await tenant.call("POST", "/auth/agent/verify", 401, json=body))["code"]
        assert await live.send_and_receive("ping", "pong")
