"""Failed logins of users and clients."""

import json

import httpx
import pytest
from websockets.asyncio.client import connect

from support.actors import PASSWORD
from support.api_examples import UNKNOWN_ID
from support.problems import without_request_id


async def test_wrong_password_and_unknown_user_get_the_same_response(stack, tenant):
    responses = []
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as http:
        for email, password in (
            (tenant.owner.email, "Wrong-Password-1"),
            ("nobody@example.com", PASSWORD),
            (tenant.owner.email, ""),
            ("", ""),
            ("\0", "\0"),
            ("x" * 3000, "y" * 3000),
            (tenant.owner.email + "\n", PASSWORD),
        ):
            response = await http.post("/auth/login", json={"email": email, "password": password})
            assert response.status_code == 401, (email[:50], password[:5], response.text)
            responses.append(without_request_id(response))
        assert all(response == responses[0] for response in responses)
        assert responses[0]["code"] == "invalid_credentials"
        responses.clear()
        for token in ("wrong", "", tenant.owner.token, "\0"):
            response = await http.post("/auth/refresh", json={"refresh_token": token})
            assert response.status_code == 401, (token[:5], response.text)
            responses.append(without_request_id(response))
    assert all(response == responses[0] for response in responses)
    assert responses[0]["code"] == "invalid_refresh_token"
    assert "password" not in str(responses[0])


async def test_malformed_client_credentials_are_rejected(tenant):
    client = await tenant.create_client()
    live = await client.connect_websocket()
    url = client.connection["websocket_url"]
    for query in (
        "nonce=&signature=",
        "nonce=x",
        "signature=x",
        "nonce=%00&signature=%ff",
        f"nonce={'x' * 43}&signature={'A' * 86}",
        f"nonce={'x' * 5000}&signature={'A' * 86}",
        f"nonce=keys%23{tenant.id}%231&signature=x",
        "nonce=a&nonce=b&signature=c&signature=d",
    ):
        ws = await connect(f"{url}?{query}")
        assert json.loads(await ws.recv())["code"] == "authentication_failed", query
        with pytest.raises(Exception, match="4401"):
            await ws.recv()
    base = url.removesuffix(client.id)
    for client_id in ("x", "%00", "x" * 5000, f"name%23{tenant.id}%23x", UNKNOWN_ID, "%F0%9F%98%80"):
        ws = await connect(base + client_id)
        nonce = json.loads(await ws.recv())["nonce"]
        await ws.send(json.dumps({"type": "auth", **client.sign_nonce(nonce)}))
        assert json.loads(await ws.recv())["code"] == "authentication_failed"
        with pytest.raises(Exception, match="4401"):
            await ws.recv()
    for client_id, status in (
        ("x" * 129, 400),
        ("x" * 500_000, 400),
        ("", 200),
        ("\0", 200),
        (UNKNOWN_ID, 200),
    ):
        response = await tenant.http.post("/auth/client/challenge", json={"client_id": client_id})
        assert response.status_code == status, response.text
    assert await live.send_and_receive("ping", "pong")
