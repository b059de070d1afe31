"""Access tokens of users: which ones are accepted, and for which organization."""

import json
import time

import httpx
import pytest
from websockets.asyncio.client import connect

from support.actors import User
from support.api_examples import UNKNOWN_ID
from support.invalid_tokens import invalid_tokens
from support.problems import without_request_id
from support.tokens import decode_claims, sign_token
from support.waiting import eventually_equals


async def test_invalid_token_is_rejected_the_same_for_every_route_and_organization(tenant):
    client = await tenant.create_client()
    channel = await tenant.create_channel()
    requests = (
        ("GET", "/clients", {}),
        ("DELETE", f"/clients/{client.id}", {}),
        ("POST", f"/channels/{channel['channel_id']}/messages", {"json": 1}),
        ("GET", f"/accounts/{tenant.id}", {}),
    )
    async with httpx.AsyncClient(base_url=tenant.owner.http.base_url, timeout=20) as http:
        for name, token in invalid_tokens(tenant.owner.token):
            responses = []
            for tenant_id in (tenant.id, UNKNOWN_ID, ""):
                headers = [
                    (b"authorization", f"Bearer {token}".encode("latin-1")),
                    (b"x-tenant-id", tenant_id.encode()),
                ]
                for method, path, options in requests if tenant_id == tenant.id else requests[:1]:
                    responses.append(await http.request(method, path, headers=headers, **options))
            for response in responses:
                assert response.status_code == 401, (name, response.text)
                assert response.headers["www-authenticate"] == "Bearer"
                assert without_request_id(response) == without_request_id(responses[0]), name
            assert responses[0].json()["code"] == "invalid_token", name
        # No header, a header without a token, and other schemes.
        for value in (
            None,
            "",
            "Bearer",
            "Basic eDp5",
            tenant.owner.token,
            f"Token {tenant.owner.token}",
        ):
            headers = {"X-Tenant-Id": tenant.id} | ({} if value is None else {"Authorization": value})
            response = await http.get("/clients", headers=headers)
            assert response.status_code == 401, value
            assert response.json()["code"] == "unauthenticated"
    assert (await tenant.call("GET", f"/clients/{client.id}", 200))["client_id"] == client.id


async def test_invalid_token_opens_no_dashboard(tenant):
    url = f"ws://127.0.0.1:{tenant.stack.ports.api}/ws/dashboard?tenant_id={tenant.id}"
    selected = (
        "junk",
        "none",
        "HS256 with the public key",
        "expired",
        "wrong audience",
        "header b'[]'",
        "tampered",
    )
    tokens = {name: token for name, token in invalid_tokens(tenant.owner.token) if name in selected}
    assert len(tokens) == len(selected)
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


async def test_clock_skew_of_thirty_seconds_is_tolerated(tenant):
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
        response = await tenant.http.get("/clients", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == expected, (changes, response.text)


async def test_organization_is_chosen_by_header_or_only_membership(stack, tenant):
    user = await User.sign_up(stack)
    response = await user.http.get("/clients")
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    first = await user.create_organization("First")
    await first.create_client("only")

    async def list_names():
        return [client["name"] for client in (await user.http.get("/clients")).json()["clients"]]

    await eventually_equals(list_names, ["only"])
    second = await user.create_organization("Second")
    response = await user.http.get("/clients")
    assert (response.status_code, response.json()["code"]) == (400, "tenant_required")
    url = f"ws://127.0.0.1:{stack.ports.api}/ws/dashboard"
    ws = await connect(url, subprotocols=["bearer", user.token])
    assert json.loads(await ws.recv())["code"] == "tenant_required"
    for each, names in ((first, ["only"]), (second, [])):
        response = await each.http.get("/clients")
        assert [client["name"] for client in response.json()["clients"]] == names
    # Foreign, unknown and malformed ids get the same response.
    responses = []
    for tenant_id in (tenant.id, UNKNOWN_ID, "x" * 500, "..", f"name#{tenant.id}#x", "é"):
        headers = [*user.http.headers.raw, (b"x-tenant-id", tenant_id.encode("latin-1"))]
        response = await user.http.get("/clients", headers=headers)
        responses.append(without_request_id(response))
        assert response.status_code == 403
    assert all(response == responses[0] for response in responses)
    assert responses[0]["code"] == "forbidden"
