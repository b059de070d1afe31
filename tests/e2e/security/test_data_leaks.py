"""Logs contain no secrets and no messages; public metrics contain no data of an organization."""

import json
import re

import httpx
from websockets.asyncio.client import connect

from support.actors import PASSWORD
from support.api_examples import UNKNOWN_ID
from support.invalid_tokens import invalid_tokens
from support.waiting import eventually


async def test_logs_contain_no_secrets(stack, tenant):
    client = await tenant.create_client()
    secrets = {client.seed, tenant.owner.token, PASSWORD, "Wrong-Secret-1"}
    await tenant.http.post("/auth/login", json={"email": tenant.owner.email, "password": "Wrong-Secret-1"})
    challenge = await tenant.call("POST", "/auth/client/challenge", 200, json={"client_id": client.id})
    signed = client.sign_nonce(challenge["nonce"])
    url = f"{client.connection['websocket_url']}?nonce={challenge['nonce']}&signature={signed['signature']}"
    for expected in ("welcome", "error"):
        ws = await connect(url)
        assert json.loads(await ws.recv())["type"] == expected
        await ws.close()
    secrets |= {challenge["nonce"], signed["signature"]}
    signing_key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    regenerated = await tenant.call("POST", f"/clients/{client.id}/regenerate-nkey", 200)
    secrets |= {signing_key["nkey_seed"], regenerated["nkey_seed"]}
    dashboard_url = f"ws://127.0.0.1:{stack.ports.api}/ws/dashboard?tenant_id={tenant.id}&token="
    ws = await connect(dashboard_url + tenant.owner.token)
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
    # Any seed, and any JSON Web Token.
    secret_format = re.compile(r"\bS[UAO][A-Z2-7]{56}\b|\beyJ[A-Za-z0-9_-]{8}")
    for log in logs:
        text = log.read_text(errors="replace")
        assert secret_format.search(text) is None, log.name
        assert [secret[:8] for secret in secrets if secret in text] == [], log.name
    gateway = (stack.directory / "logs" / "gateway.log").read_text()
    assert '"path":' in gateway
    assert "tenant_id=" not in gateway


async def test_logs_contain_no_messages_or_subjects(stack, tenant):
    """For every transport, and for accepted and rejected messages."""
    client, channel = await tenant.create_client(), await tenant.create_channel()
    content, name = "Quetzalcoatlus", "pterodactyl"
    socket, dashboard, nc = (
        await client.connect_websocket(),
        await tenant.connect_dashboard(),
        await client.connect_nats(),
    )
    await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed")
    await socket.subscribe(subject=f"{name}.>")
    await socket.send_and_receive(
        "publish", "published", subject=f"{name}.a", data=content, headers={"a": content}, id=1
    )
    await nc.publish(f"{tenant.id}.{name}.b", content.encode())
    for _ in range(2):
        await socket.receive("message")
    await socket.send(type="request", subject=f"{name}2", data=content, id="q", timeout_ms=200)
    await socket.receive("error", id="q")
    await socket.send(type="publish", subject=f"{UNKNOWN_ID}.{name}", data=content, id="f")
    await socket.receive("error", id="f")
    await socket.ws.send(f'{{"type": "{content}')
    await socket.receive("error")
    for body, status in ({"data": content}, 202), ({"data": content, "headers": {"a b": content}}, 400):
        await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", status, json=body)
    await tenant.call("GET", f"/channels/{channel['channel_id']}/messages?last=1&{name}={content}")
    await tenant.call("POST", "/clients", 400, json={"name": content, name: content})
    for log in sorted((stack.directory / "logs").iterdir()):
        text = log.read_text(errors="replace")
        assert [each for each in (content, name) if each in text] == [], log.name


async def test_public_metrics_and_foreign_usage_contain_no_data_of_an_organization(
    stack, tenant, other_tenant
):
    """No ids, names, subjects or counts."""
    client, channel = await tenant.create_client("pangolin"), await tenant.create_channel("aardvark")
    socket = await client.connect_websocket()
    await socket.subscribe(subject="okapi.>")
    await socket.send_and_receive("publish", "published", subject="okapi.x", data="axolotl", id=1)
    await socket.send_and_receive("publish", "published", channel=channel["channel_id"], data=1, id=2)

    async def counted():
        today = (await tenant.call("GET", "/usage/local/stats", 200))["today"]
        return today["messages"] == 2

    await eventually(counted)
    names = [tenant.id, client.id, channel["channel_id"], "pangolin", "aardvark", "okapi", "axolotl"]
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as anonymous:
        responses = [
            await anonymous.get(path) for path in ("/metrics", "/health", "/health/ready", "/health/live")
        ]
    foreign_paths = ("/usage/local/stats", "/usage/metrics", "/usage/current", "/agents/status/summary")
    for path in (*foreign_paths, "/activity/logs", "/activity/summary"):
        responses += [await other_tenant.http.get(path)]
    for response in responses:
        assert response.status_code == 200, response.text
        assert [name for name in names if name in response.text] == [], response.url
    stats = (await other_tenant.call("GET", "/usage/local/stats", 200))["today"]
    assert (stats["messages"], stats["deliveries"]) == (0, 0)
