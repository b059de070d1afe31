"""Invalid ids, query parameters, paths and headers, for every route."""

import json
import re
from urllib.parse import quote

import pytest

from support.api_examples import API, ENDLESS, ROUTES
from support.problems import assert_problem
from support.waiting import eventually

LISTS = ["/accounts", "/accounts/{account_id}/members", "/clients", "/agents", "/channels", "/subjects"]
LISTS += [f"/channels/{{channel_id}}/{what}" for what in ("messages", "subscribers")]
# A challenge is issued for any id, and what was never counted is zero.
ACCEPTS_ANY_ID = {
    "GET /agents/{agent_id}/challenge",
    "GET /usage/clients/{client_id}",
    "GET /usage/channels/{channel_id}",
}
WITHOUT_PARAMETERS = ["/agents/status/summary", "/usage/metrics", "/usage/current", "/usage/local/stats"]
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
async def test_hostile_ids_are_not_found(api, route):
    body = ROUTES[route]
    content = None if body is None else json.dumps(body).encode()
    if route.endswith("/messages"):
        content = b"1"
    for name in re.findall(r"{(\w+)}", route):
        # Keys of items in the same table that are not resources.
        internal_keys = [quote(f"name#{api.tenant.id}#{text}", safe="") for text in ("x", "general")]
        for hostile in (*HOSTILE_IDS, *internal_keys, api.ids[name].lower() + "x", f"{api.ids[name]}%00"):
            response = await api.send(route, content, **{name: hostile})
            expected = (200, 404, 405) if route in ACCEPTS_ANY_ID else (403, 404, 405)
            assert response.status_code in expected, (hostile, response.text)
            assert "X-Evil" not in response.headers


@pytest.mark.parametrize("path", LISTS)
async def test_invalid_list_queries_are_rejected(api, path):
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


async def test_cursor_is_valid_only_for_its_list(api):
    for _ in range(2):
        await api.tenant.create_client()
    await api.tenant.create_channel()

    async def first_cursor():
        return (await api.send("GET /clients?limit=1")).json()["next_cursor"]

    cursor = await eventually(first_cursor)
    assert (await api.send(f"GET /clients?limit=1&cursor={cursor}")).status_code == 200
    assert_problem(await api.send(f"GET /channels?cursor={cursor}"), 400, "invalid_cursor")
    for position in (0, 20, len(cursor) - 2):
        other = "A" if cursor[position] != "A" else "B"
        tampered = cursor[:position] + other + cursor[position + 1 :]
        assert_problem(await api.send(f"GET /clients?cursor={tampered}"), 400, "invalid_cursor")


async def test_invalid_filters_and_periods_are_rejected(api):
    for status in ("", "Online", "deleted", "%00"):
        assert_problem(await api.send(f"GET /clients?status={status}"), 400, "invalid_request", ["status"])
    for value in ("abc", "", "2026-13-01", "2026-02-30", "20260101", "1e9", "2026-01-01T00:00:00Z"):
        response = await api.send(f"GET /usage/metrics?start_date={value}")
        assert_problem(response, 400, "invalid_request", ["start_date"])
    for query in (
        "start_date=2026-02-02&end_date=2026-02-01",
        "start_date=0001-01-01&end_date=9999-12-31",
        "start_date=0001-01-01",
        "end_date=0001-01-01&start_date=9999-12-31",
    ):
        assert_problem(await api.send(f"GET /usage/metrics?{query}"), 400, "invalid_period")
    for query in ("end_date=9999-12-31", "start_date=9999-12-31"):
        await api.send(f"GET /usage/metrics?{query}")
    for path in WITHOUT_PARAMETERS:
        assert_problem(await api.send(f"GET {path}?plan=enterprise"), 400, "invalid_request", ["plan"])


async def test_earliest_dates_are_rejected(api):
    for day in range(1, 7):
        assert_problem(await api.send(f"GET /usage/metrics?end_date=0001-01-0{day}"), 400, "invalid_period")


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in ENDLESS])
async def test_trailing_slash_is_ignored(api, route):
    # An invalid body, so that nothing changes.
    content = None if ROUTES[route] is None and "messages" not in route else b"nonsense"
    changes_without_body = route.startswith("DELETE") or "nkey" in route
    ids = dict.fromkeys(api.ids, "none") if changes_without_body else {}
    without, with_slash = [await api.send(f"{route}{end}", content, **ids) for end in ("", "/")]
    assert without.status_code == with_slash.status_code
    if without.status_code >= 400:
        assert without.json()["code"] == with_slash.json()["code"]


async def test_unknown_paths_and_methods_are_rejected(api):
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
        response = await api.send(f"{method} {path}")
        assert_problem(response, 405, "method_not_allowed")
        assert "OPTIONS" in response.headers["allow"]
        assert method not in response.headers["allow"]


async def test_invalid_headers_do_not_break_a_request(api):
    for headers in (
        {"traceparent": "x" * 500},
        {"traceparent": "00-" + "é" * 32 + "-" + "x" * 16 + "-01"},
        {"User-Agent": "é~" * 500},
        {"X-Forwarded-For": "x" * 5000},
        {"X-Forwarded-For": "é, ~, 1.2.3.4.5"},
        {"X-Request-Id": "mine"},
        {"Content-Type": "text/plain"},
    ):
        raw = [(name, value.encode("latin-1")) for name, value in headers.items()]
        response = await api.tenant.http.post("/channels", content=b'{"name":"\\n"}', headers=raw)
        assert_problem(response, 400, "invalid_request", ["name"])
        assert response.headers["x-request-id"] != "mine"
