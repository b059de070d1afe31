"""Access tokens of users: which ones are accepted, and for which organization."""

import json
import time

import httpx
import pytest
from websockets.asyncio.client import connect

from support.actors import User
from support.invalid_tokens import invalid_tokens
from support.problems import without_request_id
from support.tokens import decode_claims, sign_token

NOWHERE = "01JADAR0000000000000000000"


async def test_a_bad_token_is_refused_before_anything_is_told(tenant):
    agent = await tenant.create_client()
    channel = await tenant.create_channel()
    targets = (
        ("GET", "/clients", {}),
        ("DELETE", f"/clients/{agent.id}", {}),
        ("POST", f"/channels/{channel['channel_id']}/messages", {"json": 1}),
        ("GET", f"/accounts/{tenant.id}", {}),
    )
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as http:
        for name, token in invalid_tokens(tenant.owner.token):
            answers = []
            for tenant_id in (tenant.id, NOWHERE, ""):
                headers = [
                    (b"authorization", f"Bearer {token}".encode("latin-1")),
                    (b"x-tenant-id", tenant_id.encode()),
                ]
                for method, path, rest in targets if tenant_id == tenant.id else targets[:1]:
                    answers.append(await http.request(method, path, headers=headers, **rest))
            for answer in answers:
                assert answer.status_code == 401, (name, answer.text)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert without_request_id(answer) == without_request_id(answers[0]), name
            assert answers[0].json()["code"] == "invalid_token", name
        # Neither a header without a token, nor another scheme, nor none at all.
        for value in (
            None,
            "",
            "Bearer",
            "Basic eDp5",
            tenant.owner.token,
            f"Token {tenant.owner.token}",
        ):
            headers = {"X-Tenant-Id": tenant.id} | ({} if value is None else {"Authorization": value})
            answer = await http.get("/clients", headers=headers)
            assert answer.status_code == 401, value
            assert answer.json()["code"] == "unauthenticated"
    assert (await tenant.call("GET", f"/clients/{agent.id}", 200))["client_id"] == agent.id


async def test_a_bad_token_opens_no_dashboard(tenant):
    url = f"ws://127.0.0.1:{tenant.stack.ports.api}/ws/dashboard?tenant_id={tenant.id}"
    wanted = (
        "junk",
        "none",
        "HS256 with the public key",
        "expired",
        "wrong audience",
        "header b'[]'",
        "tampered",
    )
    tokens = {name: token for name, token in invalid_tokens(tenant.owner.token) if name in wanted}
    assert len(tokens) == len(wanted)
    for token in tokens.values():
        for address, options in (
            (f"{url}&token={token}", {}),
            (url, {"additional_headers": {"Authorization": f"Bearer {token}"}}),
            (url, {"subprotocols": ["bearer", token]}),
        ):
            ws = await connect(address, **options)
            assert json.loads(await ws.recv())["code"] == "invalid_token"
            with pytest.raises(Exception, match="4401"):
                await ws.recv()


async def test_thirty_seconds_either_way_are_forgiven(tenant):
    claims, now = decode_claims(tenant.owner.token), int(time.time())
    for changes, expected in (
        ({"exp": now - 20}, 200),
        ({"exp": now - 36}, 401),
        ({"nbf": now + 20}, 200),
        ({"nbf": now + 45}, 401),
        ({"iat": now + 20}, 200),
        ({"iat": now + 45}, 401),
        ({"token_use": "id", "aud": claims["client_id"], "client_id": None}, 200),
    ):
        token = sign_token({k: v for k, v in {**claims, **changes}.items() if v is not None})
        answer = await tenant.http.get("/clients", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == expected, (changes, answer.text)


async def test_which_tenant_a_person_acts_for(stack, tenant):
    person = await User.sign_up(stack)
    answer = await person.http.get("/clients")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    first = await person.create_organization("First")
    await first.create_client("only")
    answer = await person.http.get("/clients")
    assert [client["name"] for client in answer.json()["clients"]] == ["only"]
    second = await person.create_organization("Second")
    answer = await person.http.get("/clients")
    assert (answer.status_code, answer.json()["code"]) == (400, "tenant_required")
    url = f"ws://127.0.0.1:{stack.ports.api}/ws/dashboard"
    ws = await connect(url, subprotocols=["bearer", person.token])
    assert json.loads(await ws.recv())["code"] == "tenant_required"
    for each, names in ((first, ["only"]), (second, [])):
        answer = await each.http.get("/clients")
        assert [client["name"] for client in answer.json()["clients"]] == names
    # One that is another's, one that is none, and what cannot be one: all the same.
    answers = []
    for chosen in (tenant.id, NOWHERE, "x" * 500, "..", f"name#{tenant.id}#x", "é"):
        headers = [*person.http.headers.raw, (b"x-tenant-id", chosen.encode("latin-1"))]
        answer = await person.http.get("/clients", headers=headers)
        answers.append(without_request_id(answer))
        assert answer.status_code == 403
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["code"] == "forbidden"
