"""nginx in front of the gateways of a host: names, TLS, CORS, limits, logs."""

import asyncio
import json
import uuid
from contextlib import suppress

import httpx
import pytest

from support.container_clients import authenticate, call, receive
from support.ec2_host import API_HOST, WS_HOST
from support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]


async def test_story_through_nginx_with_tls(host, story):
    async with host.sign_in(story["tenant_id"]) as http:
        channel_id = story["channel_id"]
        alice, bob = story["clients"]
        assert alice["connection"]["websocket_url"].startswith(f"wss://{WS_HOST}/ws/client/")
        async with (
            host.connect_websocket(
                f"/ws/client/{alice['client']['client_id']}",
                additional_headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"},
            ) as publisher,
            host.connect_websocket(f"/api/v1/ws/client/{bob['client']['client_id']}") as subscriber,
        ):
            await authenticate(publisher, alice["nkey_seed"])
            await authenticate(subscriber, bob["nkey_seed"])
            await subscriber.send(json.dumps({"type": "subscribe", "channel": channel_id}))
            await receive(subscriber, "subscribed")
            frame = {"type": "publish", "channel": channel_id, "data": "hello", "id": 1}
            await publisher.send(json.dumps(frame))
            assert (await receive(publisher, "published"))["seq"] > 0
            assert (await receive(subscriber, "message"))["data"] == "hello"
            roster = await call(http, "GET", f"/clients/{bob['client']['client_id']}/status", 200)
            assert roster["status"] == "online"
            # The clients' address, not nginx', and not what a client says.
            script = "/opt/artcafe/artcafe-pubsub/deploy/ec2/connections.sh"
            online = host.read(f"{script} {story['tenant_id']}")
            assert online.startswith("2 connections, 2 clients and agents online")
            assert " 127.0.0.1 " not in online
            assert "203.0.113.9" not in online


async def test_what_nginx_refuses(host):
    async with host.http() as http:
        for path in ("/metrics", "/api/v1/metrics", "/api/v1/metrics/", "//metrics", "/api/v1/%6detrics"):
            assert (await http.get(path)).status_code == 404, path
        for path in ("/health", "/api/v1/health"):
            response = await http.get(path)
            assert (response.status_code, response.json()) == (200, {"status": "ok"}), path
        for path in ("/ws/dashboard", "/api/v1/ws/agent/a"):
            assert (await http.get(path)).status_code == 404, path
        large = await http.post("/api/v1/auth/login", content=b"x" * (1024 * 1024 + 1))
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    async with host.http(WS_HOST) as http:
        assert (await http.get("/api/v1/health")).status_code == 404
    url = f"--resolve {API_HOST}:443:127.0.0.1 https://{API_HOST}/api/v1/health"
    assert host.read("curl -sk -o /dev/null -w '%{http_version}' " + url) == "2"
    assert host.run(f"curl -sk --tls-max 1.1 {url}", check=False).returncode != 0
    with pytest.raises(httpx.ConnectError):
        async with host.http("other.artcafe.test") as http:
            await http.get("/health")


async def test_cors_is_nginx_alone(host):
    origin = "https://console.example.org"
    preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    async with host.http() as http:
        refused = await http.options("/api/v1/clients", headers=preflight)
        assert "access-control-allow-origin" not in refused.headers
        host.run(f"echo CORS_ORIGINS={origin} >> /etc/artcafe/nginx.env")
        output = host.install()
        assert "/etc/nginx/artcafe.conf" in output

        async def allowed():
            try:
                response = await http.options("/api/v1/clients", headers=preflight)
            except httpx.TransportError:
                return None
            return response if "access-control-allow-origin" in response.headers else None

        response = await eventually(allowed, within=20)
        assert response.status_code == 204
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "PUT" in response.headers["Access-Control-Allow-Methods"]
        error = await http.get("/api/v1/clients", headers={"Origin": origin})
        assert (error.status_code, error.headers["Access-Control-Allow-Origin"]) == (401, origin)
        other = await http.get("/api/v1/clients", headers={"Origin": "https://evil.example.org"})
        assert "access-control-allow-origin" not in other.headers


async def test_one_address_is_limited(host):
    host.run(
        "cp /etc/artcafe/nginx.env /root/ && echo 'REQUESTS_PER_SECOND=1 REQUESTS_BURST=5' >> /etc/artcafe/nginx.env"
    )
    host.install()
    async with host.http() as http:

        async def limited():
            with suppress(httpx.TransportError):
                responses = await asyncio.gather(*(http.get("/api/v1/plans") for _ in range(20)))
                return [response for response in responses if response.status_code == 429]

        responses = await eventually(limited, within=30)
        assert responses[0].json()["code"] == "rate_limited"
        assert responses[0].headers["Retry-After"] == "1"
        assert responses[0].headers["Content-Type"] == "application/problem+json"
    host.run("cp /root/nginx.env /etc/artcafe/nginx.env")
    host.install()
    await host.wait_until_healthy()


async def test_no_query_string_is_logged(host):
    marker = uuid.uuid4().hex
    async with host.http() as http:
        await http.get("/api/v1/plans", params={"token": marker})
    async with host.http(WS_HOST) as http:
        await http.get("/ws/dashboard", params={"token": marker})
    await asyncio.sleep(1)
    assert '"path":"/ws/dashboard"' in host.read("journalctl --no-pager --identifier nginx --since -1min")
    assert marker not in host.read(
        "journalctl --no-pager --since -1min; cat /var/log/nginx/*.log 2>/dev/null || true"
    )
