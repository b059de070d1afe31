"""Logs contain no secrets and no messages; public figures name no organization."""

import json
import re

import httpx
from websockets.asyncio.client import connect

from support.actors import PASSWORD
from support.invalid_tokens import invalid_tokens
from support.waiting import eventually

NOWHERE = "01JADAR0000000000000000000"


async def test_no_log_tells_a_secret(stack, tenant):
    agent = await tenant.create_client()
    secrets = {agent.seed, tenant.owner.token, PASSWORD, "Wrong-Secret-1"}
    await tenant.http.post("/auth/login", json={"email": tenant.owner.email, "password": "Wrong-Secret-1"})
    challenge = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": agent.id})
    proof = agent.sign_nonce(challenge["nonce"])
    url = f"{agent.connection['websocket_url']}?nonce={challenge['nonce']}&signature={proof['signature']}"
    for expected in ("welcome", "error"):
        ws = await connect(url)
        assert json.loads(await ws.recv())["type"] == expected
        await ws.close()
    secrets |= {challenge["nonce"], proof["signature"]}
    made = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    again = await tenant.call("POST", f"/clients/{agent.id}/regenerate-nkey", 200)
    secrets |= {made["nkey_seed"], again["nkey_seed"]}
    board = f"ws://127.0.0.1:{stack.ports.api}/ws/dashboard?tenant_id={tenant.id}&token="
    ws = await connect(board + tenant.owner.token)
    assert json.loads(await ws.recv())["type"] == "welcome"
    await ws.close()
    for _, token in invalid_tokens(tenant.owner.token):
        if len(token) > 20 and token.isascii():
            secrets.add(token)
            secrets |= {part for part in token.split(".") if len(part) > 40}
    await tenant.http.get("/clients", headers={"Authorization": "Bearer eyJub3QiOiJhIHRva2VuIn0"})
    await tenant.http.get(f"/clients?token={tenant.owner.token}")
    direct = await (await tenant.create_client()).connect_nats()
    await direct.close()
    logs = sorted((stack.directory / "logs").iterdir())
    assert {log.stem for log in logs} >= {"gateway", "identity", "tenancy", "presence", "metering", "nats"}
    shapes = re.compile(r"\bS[UAO][A-Z2-7]{56}\b|\beyJ[A-Za-z0-9_-]{8}")
    for log in logs:
        text = log.read_text(errors="replace")
        assert shapes.search(text) is None, log.name
        assert [secret[:8] for secret in secrets if secret in text] == [], log.name
    gateway = (stack.directory / "logs" / "gateway.log").read_text()
    assert '"path":' in gateway
    assert "tenant_id=" not in gateway


async def test_no_log_tells_a_message(stack, tenant):
    """Neither what is in it nor where it goes, on whatever way it comes and whatever becomes of it."""
    agent, channel = await tenant.create_client(), await tenant.create_channel()
    said, named = "Quetzalcoatlus", "pterodactyl"
    socket, board, nc = (
        await agent.connect_websocket(),
        await tenant.connect_dashboard(),
        await agent.connect_nats(),
    )
    await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    await socket.subscribe(subject=f"{named}.>")
    await socket.send_and_receive(
        "publish", "published", subject=f"{named}.a", data=said, headers={"a": said}, id=1
    )
    await nc.publish(f"{tenant.id}.{named}.b", said.encode())
    for _ in range(2):
        await socket.receive("message")
    await socket.send(type="request", subject=f"{named}2", data=said, id="q", timeout_ms=200)
    await socket.receive("error", id="q")
    await socket.send(type="publish", subject=f"{NOWHERE}.{named}", data=said, id="f")
    await socket.receive("error", id="f")
    await socket.ws.send(f'{{"type": "{said}')
    await socket.receive("error")
    for body, status in ({"data": said}, 202), ({"data": said, "headers": {"a b": said}}, 400):
        await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", status, json=body)
    await tenant.call("GET", f"/channels/{channel['channel_id']}/messages?last=1&{named}={said}")
    await tenant.call("POST", "/clients", 400, json={"name": said, named: said})
    for log in sorted((stack.directory / "logs").iterdir()):
        text = log.read_text(errors="replace")
        assert [word for word in (said, named) if word in text] == [], log.name


async def test_what_everybody_may_read_names_nobody(stack, tenant, other_tenant):
    """Health, metrics and another organization's figures tell of no organization, client or subject."""
    agent, channel = await tenant.create_client("pangolin"), await tenant.create_channel("aardvark")
    socket = await agent.connect_websocket()
    await socket.subscribe(subject="okapi.>")
    await socket.send_and_receive("publish", "published", subject="okapi.x", data="axolotl", id=1)
    await socket.send_and_receive("publish", "published", channel=channel["channel_id"], data=1, id=2)

    async def counted():
        today = (await tenant.call("GET", "/usage/local/stats", 200))["today"]
        return today["messages"] == 2

    await eventually(counted)
    names = [tenant.id, agent.id, channel["channel_id"], "pangolin", "aardvark", "okapi", "axolotl"]
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as nobody:
        answers = [
            await nobody.get(path) for path in ("/metrics", "/health", "/health/ready", "/health/live")
        ]
    own = ("/usage/local/stats", "/usage/metrics", "/usage/current", "/agents/status/summary")
    for path in (*own, "/activity/logs", "/activity/summary"):
        answers += [await other_tenant.http.get(path)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert [name for name in names if name in answer.text] == [], answer.url
    stats = (await other_tenant.call("GET", "/usage/local/stats", 200))["today"]
    assert (stats["messages"], stats["deliveries"]) == (0, 0)
