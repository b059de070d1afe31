"""Invalid ids, query parameters, paths and headers, for every route."""

import json
import re
from urllib.parse import quote

import pytest

from support.api_examples import API, ROUTES
from support.problems import assert_problem

LISTS = ["/accounts", "/accounts/{account_id}/members", "/clients", "/agents", "/channels", "/subjects"]
LISTS += [f"/channels/{{channel_id}}/{what}" for what in ("messages", "subscribers")]
# Whoever asks for whatever is given something to sign.
FOR_ANYBODY = {"GET /agents/{agent_id}/challenge"}
PLAIN = ["/agents/status/summary", "/usage/metrics", "/usage/current", "/usage/local/stats"]
HOSTILE_IDS = (
    "..",
    "%2e%2e",
    "..%2f..%2fhealth",
    "%2e%2e%2fstatus",
    "%00",
    "a%00b",
    "%0d%0aX-Evil:%201",
    "%20",
    "a%20b",
    "%23",
    "%3f",
    "%25",
    "*",
    ">",
    "-1",
    "null",
    "'%20OR%201=1--",
    "%F0%9F%98%80",
    "%ff%fe",
    "%ed%a0%80",
    "%E2%80%AE",
    "x" * 129,
    "x" * 5_000,
    "%F0%9F%98%80" * 200,
    "01JADAR0000000000000000000",
    "01JADAR0000000000000000000%0a",
)


@pytest.mark.parametrize("route", [route for route in ROUTES if "{" in route])
async def test_hostile_ids(api, route):
    body = ROUTES[route]
    content = None if body is None else json.dumps(body).encode()
    if route.endswith("/messages"):
        content = b"1"
    for name in re.findall(r"{(\w+)}", route):
        guards = [quote(f"name#{api.tenant.id}#{text}", safe="") for text in ("x", "general")]
        for hostile in (*HOSTILE_IDS, *guards, api.ids[name].lower() + "x", f"{api.ids[name]}%00"):
            answer = await api.send(route, content, **{name: hostile})
            refusals = (200, 404, 405) if route in FOR_ANYBODY else (403, 404, 405)
            assert answer.status_code in refusals, (hostile, answer.text)
            assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("path", LISTS)
async def test_what_a_list_may_be_asked(api, path):
    for query, fields in (
        *(
            (f"limit={value}", ["limit"])
            for value in ("0", "201", "-1", "abc", "", "1.5", "9" * 40, "%00", "%D9%A3")
        ),
        ("limit=1&limit=2", ["limit"]),
        ("limit=1&limit=1", ["limit"]),
        ("cursor=a&limit=1&cursor=a", ["cursor"]),
        ("foo=1", ["foo"]),
        ("zoo=1&foo=2&limit=1", ["foo", "zoo"]),
        ("tenant_id=x", ["tenant_id"]),
        ("%ff=%ff", ["\ufffd"]),
        ("cursor=" + "A" * 1025, ["cursor"]),
    ):
        assert_problem(await api.send(f"GET {path}?{query}"), 400, "invalid_request", fields)
    for cursor in ("", "x", "A" * 1024, "%00", "%ff", "%F0%9F%98%80", "====", "..", "eyJpZCI6IngifQ"):
        assert_problem(await api.send(f"GET {path}?cursor={cursor}"), 400, "invalid_cursor")
    for limit in (1, 200):
        assert (await api.send(f"GET {path}?limit={limit}")).status_code == 200


async def test_cursors_hold_for_their_list_only(api):
    for _ in range(2):
        await api.tenant.create_client()
    await api.tenant.create_channel()
    cursor = (await api.send("GET /clients?limit=1")).json()["next_cursor"]
    assert (await api.send(f"GET /clients?limit=1&cursor={cursor}")).status_code == 200
    assert_problem(await api.send(f"GET /channels?cursor={cursor}"), 400, "invalid_cursor")
    for position in (0, 20, len(cursor) - 2):
        other = "A" if cursor[position] != "A" else "B"
        tampered = cursor[:position] + other + cursor[position + 1 :]
        assert_problem(await api.send(f"GET /clients?cursor={tampered}"), 400, "invalid_cursor")


async def test_what_filters_and_periods_may_be(api):
    for status in ("", "Online", "deleted", "%00"):
        assert_problem(await api.send(f"GET /clients?status={status}"), 400, "invalid_request", ["status"])
    for value in ("abc", "", "2026-13-01", "2026-02-30", "20260101", "1e9", "2026-01-01T00:00:00Z"):
        answer = await api.send(f"GET /usage/metrics?start_date={value}")
        assert_problem(answer, 400, "invalid_request", ["start_date"])
    for query in (
        "start_date=2026-02-02&end_date=2026-02-01",
        "start_date=0001-01-01&end_date=9999-12-31",
        "start_date=0001-01-01",
        "end_date=0001-01-01&start_date=9999-12-31",
    ):
        assert_problem(await api.send(f"GET /usage/metrics?{query}"), 400, "invalid_period")
    for query in ("end_date=9999-12-31", "start_date=9999-12-31"):
        await api.send(f"GET /usage/metrics?{query}")
    for path in PLAIN:
        assert_problem(await api.send(f"GET {path}?plan=enterprise"), 400, "invalid_request", ["plan"])


async def test_the_first_days_of_all(api):
    for day in range(1, 7):
        assert_problem(await api.send(f"GET /usage/metrics?end_date=0001-01-0{day}"), 400, "invalid_period")


@pytest.mark.parametrize("route", ROUTES)
async def test_a_trailing_slash_is_the_same_route(api, route):
    # A nonsense body, so that nothing is changed.
    content = None if ROUTES[route] is None and "messages" not in route else b"nonsense"
    gone = route.startswith("DELETE") or "nkey" in route
    nothing = dict.fromkeys(api.ids, "none") if gone else {}
    one, other = (
        await api.send(route, content, **nothing),
        await api.send(f"{route}/", content, **nothing),
    )
    assert one.status_code == other.status_code
    if one.status_code >= 400:
        assert one.json()["code"] == other.json()["code"]


async def test_paths_and_methods_that_are_not_there(api):
    http, base = api.tenant.http, api.tenant.stack.api
    for path in (
        "/",
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v2/clients",
        f"{API}/Clients",
        f"{API}/clients/x/y/z",
    ):
        assert_problem(await http.get(base + path), 404, "not_found")
    assert_problem(await http.get(f"{base}//api//v1//nothing"), 404, "not_found")
    assert_problem(await api.send(f"GET /{'x' * 20_000}"), 404, "not_found")
    for method, path in (
        ("PATCH", "/clients"),
        ("DELETE", "/clients"),
        ("POST", "/usage/current"),
        ("GET", "/auth/login"),
    ):
        answer = await api.send(f"{method} {path}")
        assert_problem(answer, 405, "method_not_allowed")
        assert "OPTIONS" in answer.headers["allow"]
        assert method not in answer.headers["allow"]


async def test_headers_of_a_request_are_not_trusted(api):
    for headers in (
        {"traceparent": "x" * 500},
        {"traceparent": "00-" + "é" * 32 + "-" + "x" * 16 + "-01"},
        {"User-Agent": "é~" * 500},
        {"X-Forwarded-For": "x" * 5000},
        {"X-Forwarded-For": "é, ~, 1.2.3.4.5"},
        {"X-Request-Id": "mine"},
        {"Content-Type": "text/plain"},
        {"Content-Encoding": "gzip"},
    ):
        raw = [(name, value.encode("latin-1")) for name, value in headers.items()]
        answer = await api.tenant.http.post("/channels", content=b'{"name":"\\n"}', headers=raw)
        assert_problem(answer, 400, "invalid_request", ["name"])
        assert answer.headers["x-request-id"] != "mine"
