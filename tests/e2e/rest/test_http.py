"""What HTTP asks of every route: HEAD, encodings, repeated headers, clients that disconnect."""

import asyncio
import gzip
import json

import pytest

from support.api_examples import API, ENDLESS, ROUTES
from support.problems import assert_problem
from support.waiting import eventually

OUTSIDER = {"X-Forwarded-For": "203.0.113.9"}
# Headers that differ from one response to the next, or depend on what other tests do.
VARYING = {"x-request-id", "ratelimit", "ratelimit-remaining", "ratelimit-reset", "date"}
# Says how a body without a known length is sent.
OF_BODY = {"transfer-encoding"}
GET_ROUTES = [
    route.removeprefix("GET ") for route in ROUTES if route.startswith("GET ") and route not in ENDLESS
]


def stable_headers(response):
    return {name: value for name, value in response.headers.items() if name not in VARYING | OF_BODY}


async def test_head_is_get_without_a_body(api):
    for path in GET_ROUTES:
        target = path.format(**api.ids)
        head, get = await api.tenant.http.head(target), await api.tenant.http.get(target)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers.keys() == get.headers.keys() - OF_BODY, path
        # The bodies of some differ from one moment to the next.
        if not path.startswith(("/metrics", "/health", "/usage", "/activity")) and "challenge" not in path:
            assert stable_headers(head) == stable_headers(get), path


async def test_head_needs_the_same_permission(api, other_tenant, http):
    path = f"{API}/clients/{api.ids['client_id']}"
    assert (await http.head(path)).status_code == 401
    assert (await other_tenant.http.head(f"/clients/{api.ids['client_id']}")).status_code == 404
    header = {"X-Tenant-Id": api.tenant.id}
    assert (await other_tenant.http.head("/clients", headers=header)).status_code == 403
    assert (await api.tenant.http.head("/clients/nobody")).status_code == 404
    refused = await api.tenant.http.head("/auth/login")
    assert refused.status_code == 405
    assert "GET" not in refused.headers["allow"]
    for response in (
        await api.tenant.http.options("/clients"),
        await api.tenant.http.request("PATCH", "/clients"),
    ):
        assert {"GET", "HEAD", "POST"} <= set(response.headers["allow"].split(", "))


async def test_monitoring_routes_stand_at_the_root_too(api, http):
    for path in ("/health", "/health/live", "/health/ready", "/metrics"):
        for prefix in ("", API):
            assert (await http.get(prefix + path)).status_code == 200, prefix + path
            assert (await http.head(f"{prefix}{path}/")).status_code == 200


async def test_details_are_not_for_everybody(api, http):
    full = (await http.get("/health")).json()
    assert full["services"].keys() >= {"gateway", "identity"}
    for prefix in ("", API):
        health = await http.get(f"{prefix}/health", headers=OUTSIDER)
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        assert_problem(await http.get(f"{prefix}/metrics", headers=OUTSIDER), 403, "forbidden")
        assert (await http.get(f"{prefix}/health/ready", headers=OUTSIDER)).status_code == 200


async def test_encoded_bodies_are_refused(api):
    http, body = api.tenant.http, gzip.compress(json.dumps({"name": "zipped"}).encode())
    for coding in ("gzip", "br", "identity, gzip", "nonsense"):
        for method, path in (
            ("POST", "/channels"),
            ("POST", f"/channels/{api.ids['channel_id']}/messages"),
            ("PUT", f"/channels/{api.ids['channel_id']}"),
            ("POST", "/auth/login"),
        ):
            response = await http.request(method, path, content=body, headers={"Content-Encoding": coding})
            assert_problem(response, 415, "unsupported_content_encoding")
            assert response.headers["accept-encoding"] == "identity"
    accepted = await http.put(
        f"/channels/{api.ids['channel_id']}", json={}, headers={"Content-Encoding": "identity"}
    )
    assert accepted.status_code == 200


async def test_two_organizations_in_one_request_are_refused(api, other_tenant, http):
    mine, other = api.tenant.id, other_tenant.id
    http.headers["Authorization"] = api.tenant.http.headers["Authorization"]
    for path in ("/clients", f"/accounts/{mine}", "/profile/me"):
        for headers in (
            [("X-Tenant-Id", mine), ("X-Tenant-Id", other)],
            [("X-Tenant-Id", f"{other}, {mine}")],
        ):
            refused = assert_problem(await http.get(API + path, headers=headers), 400, "invalid_request")
            assert refused["errors"][0]["field"] == "X-Tenant-Id"
        same = await http.get(API + path, headers=[("X-Tenant-Id", mine), ("X-Tenant-Id", mine)])
        assert same.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/channels", {"name": " a"}, "name"),
        ("/channels/{channel_id}/messages", {"data": 1, "message_id": "a b"}, "message_id"),
        ("/accounts/{account_id}/members", {"user_id": "a b", "role": "viewer"}, "user_id"),
    ],
)
async def test_error_about_a_form_of_text_is_in_words(api, path, body, field):
    problem = assert_problem(await api.tenant.http.post(path.format(**api.ids), json=body), 400)
    assert problem["errors"][0]["field"] == field
    assert problem["errors"][0]["message"].startswith("Expected ")
    assert "regex" not in json.dumps(problem)
    assert "^" not in json.dumps(problem)


async def test_client_that_disconnects_is_no_error(api):
    stack = api.tenant.stack
    log = stack.directory / "logs/gateway.log"
    start = len(log.read_bytes())
    token = api.tenant.http.headers["Authorization"]
    for path, key in (("/channels", ""), ("/channels", "Idempotency-Key: gone\r\n"), ("/auth/login", "")):
        _, writer = await asyncio.open_connection("127.0.0.1", stack.ports.api)
        writer.write(
            f"POST {API}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nX-Tenant-Id: {api.tenant.id}\r\n"
            f"{key}Content-Length: 100\r\n\r\n{{".encode()
        )
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()

    def logged():
        lines = log.read_bytes()[start:].decode().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return entries if sum(each.get("status") == 499 for each in entries) == 3 else None

    entries = await eventually(logged)
    assert [
        each for each in entries if each["level"] in ("error", "critical") or each.get("status") == 500
    ] == []
