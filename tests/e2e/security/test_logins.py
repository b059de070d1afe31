"""Failed logins of users and clients."""

import json

import httpx
import pytest
from websockets.asyncio.client import connect

from support.actors import PASSWORD
from support.problems import without_request_id

NOWHERE = "01JADAR0000000000000000000"


async def test_a_wrong_password_and_a_wrong_name_are_the_same(stack, tenant):
    answers = []
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
            answer = await http.post("/auth/login", json={"email": email, "password": password})
            assert answer.status_code == 401, (email[:50], password[:5], answer.text)
            answers.append(without_request_id(answer))
        for token in ("wrong", "", tenant.owner.token, "\0"):
            answer = await http.post("/auth/refresh", json={"refresh_token": token})
            assert answer.status_code == 401, (token[:5], answer.text)
            answers.append(without_request_id(answer))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "invalid_credentials"


async def test_no_nonce_and_no_signature_of_whatever_shape_opens_a_socket(tenant):
    agent = await tenant.create_client()
    live = await agent.connect_websocket()
    url = agent.connection["websocket_url"]
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
    base = url.removesuffix(agent.id)
    for client_id in ("x", "%00", "x" * 5000, f"name%23{tenant.id}%23x", NOWHERE, "%F0%9F%98%80"):
        ws = await connect(base + client_id)
        nonce = json.loads(await ws.recv())["nonce"]
        await ws.send(json.dumps({"type": "auth", **agent.sign_nonce(nonce)}))
        assert json.loads(await ws.recv())["code"] == "authentication_failed"
        with pytest.raises(Exception, match="4401"):
            await ws.recv()
    for client_id, status in (("x" * 129, 400), ("x" * 500_000, 400), ("", 200), ("\0", 200), (NOWHERE, 200)):
        answer = await tenant.http.post("/auth/client/challenge", json={"client_id": client_id})
        assert answer.status_code == status, answer.text
    assert await live.send_and_receive("ping", "pong")
