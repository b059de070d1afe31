"""Hostile and broken input, for every route and every frame: a clear refusal, and the service goes on."""

import asyncio
import json
import re
from urllib.parse import quote

import httpx
import msgspec
import pytest

from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.sessions.dashboard import DashboardSession
from support.actors import User
from support.api_examples import API, CLIENT_FRAMES, DASHBOARD_FRAMES, ROUTES, SSH_PUBLIC_KEY, served_routes

MIB = 1024 * 1024
BODIES = [route for route, body in ROUTES.items() if body is not None]
LISTS = ["/accounts", "/accounts/{account_id}/members", "/clients", "/agents", "/channels", "/subjects"]
LISTS += [f"/channels/{{channel_id}}/{what}" for what in ("messages", "subscribers")]
# Whoever asks for whatever is given something to sign.
FOR_ANYBODY = {"GET /agents/{agent_id}/challenge"}
PLAIN = ["/agents/status/summary", "/usage/metrics", "/usage/current", "/usage/local/stats"]
# What these take is for the provider to judge, however long it is.
UNBOUNDED = {"email", "password", "refresh_token"}
WRONG = {
    str: (1, 1.5, True, None, [], ["x"], {}),
    dict: (1, True, "x", None, [], [{}]),
}
NOT_JSON = (
    b"{",
    b"nonsense",
    b"{'name': 'x'}",
    b'{"name": NaN}',
    b'{"name": "x"} {}',
    b'{"name": "x",}',
    b'{"name": "\x01"}',
    b"\xff\xfe",
    b'{"name": "\xff"}',
    b'{"name": "\xed\xa0\x80"}',
    b'{"name": "\\ud800"}',
    b'{"name": "\\udc00\\ud800"}',
    b"\xef\xbb\xbf{}",
    '{"name": "x"}'.encode("utf-16"),
)
NO_OBJECT = (b"[]", b"5", b'"x"', b"null", b"true", b'[{"name":"x"}]', b'{"x": 1e999}')
DEEP = (
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    *(b'{"metadata":{"a":' + b"[" * n + b"]" * n + b"}}" for n in (80, 400, 900, 1500, 100_000)),
)
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


@pytest.fixture(scope="module")
async def place(stack):
    """An organization with real ids for every name in a path, for all of the tests here."""
    owner = await User.sign_up(stack)
    tenant = await owner.create_organization()
    headers = {**tenant.http.headers}
    async with httpx.AsyncClient(base_url=tenant.http.base_url, timeout=20, headers=headers) as http:
        tenant.http = http
        agent, channel = await tenant.create_client(), await tenant.create_channel()
        made = await tenant.call("POST", "/agents", 201, json={"name": "old", "public_key": SSH_PUBLIC_KEY})
        subject = await tenant.call("POST", "/subjects", 201, json={"name": "S", "pattern": "s.>"})
        path = f"/accounts/{tenant.id}/members"
        await tenant.call("POST", path, 201, json={"user_id": "somebody", "role": "viewer"})
        ids = {
            "account_id": tenant.id,
            "user_id": "somebody",
            "client_id": agent.id,
            "agent_id": made["agent"]["agent_id"],
            "channel_id": channel["channel_id"],
            "subject_id": subject["subject_id"],
        }
        yield World(tenant, ids)


@pytest.fixture
async def world(place):
    """The same, and whatever the test did, the service goes on."""
    yield place
    health = await place.tenant.http.get("/health")
    assert health.json()["status"] == "ok", health.text


class World:
    def __init__(self, tenant, ids):
        self.tenant = tenant
        self.ids = ids

    async def send(self, route, content=None, **replaced):
        """One request whose target goes over the wire as it is."""
        method, _, path = route.partition(" ")
        target = (API + path.format(**{**self.ids, **replaced})).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        request = self.tenant.http.build_request(method, "/", content=content, headers=headers)
        request.extensions["target"] = target
        answer = await self.tenant.http.send(request)
        assert answer.status_code < 500, (route, replaced, str(content)[:200], answer.text)
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            problem(answer)
        return answer


def problem(answer, status=None, code=None, fields=None):
    """Assert that an answer is a problem document, whole and of the kind that was expected."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", body["code"])
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body.keys() <= {"type", "title", "status", "detail", "code", "request_id", "errors"}
    if body["code"] == "invalid_request":
        assert body["errors"]
    for error in body.get("errors", ()):
        assert error.keys() == {"field", "message"}
        assert error["message"]
    if status is not None:
        assert answer.status_code == status, answer.text
    if code is not None:
        assert body["code"] == code, body
    if fields is not None:
        assert [error["field"] for error in body["errors"]] == fields, body
    return body


# -- the routes --------------------------------------------------------------------------------


async def test_every_route_is_in_the_table(tenant):
    assert await served_routes(tenant) == set(ROUTES)


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_that_is_no_json_object(world, route):
    for content in (*NOT_JSON, *NO_OBJECT, *DEEP):
        answer = await world.send(route, content)
        problem(answer, 400, "invalid_request")
        if content not in DEEP:
            problem(answer, fields=["body"])


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_that_is_missing_or_empty(world, route):
    for content in (None, b"", b"{}"):
        answer = await world.send(route, content)
        if route.startswith("PUT") and "/members/" not in route:
            assert answer.status_code == 200  # nothing was given, nothing changes
        else:
            problem(answer, 400, "invalid_request", [next(iter(ROUTES[route]))])


@pytest.mark.parametrize("route", BODIES)
async def test_unknown_fields_are_all_named(world, route):
    body = ROUTES[route] | {"zz": 1, "account_id": "x", "plan": "enterprise", "": None, "ü\u0000": []}
    answer = await world.send(route, json.dumps(body).encode())
    problem(answer, 400, "invalid_request", sorted(body.keys() - ROUTES[route].keys()))
    many = {f"f{number}": 1 for number in range(10_000)}
    answer = await world.send(route, json.dumps(many).encode())
    assert len(problem(answer, 400, "invalid_request")["errors"]) == 100


@pytest.mark.parametrize("route", BODIES)
async def test_wrong_types_are_named(world, route):
    for field, right in ROUTES[route].items():
        for wrong in WRONG[type(right)]:
            if field == "permissions" and wrong is None:
                continue  # the default
            answer = await world.send(route, json.dumps({**ROUTES[route], field: wrong}).encode())
            named = problem(answer, 400, "invalid_request")["errors"][0]["field"]
            assert named == field


@pytest.mark.parametrize("route", BODIES)
async def test_huge_and_strange_texts(world, route):
    for field, right in ROUTES[route].items():
        if not isinstance(right, str):
            continue
        for text in ("x" * 200_000, "😀" * 60_000):
            answer = await world.send(route, json.dumps({**ROUTES[route], field: text}).encode())
            if field in UNBOUNDED and route.startswith("POST /auth"):
                assert answer.status_code in (400, 401)
            else:
                problem(answer, 400, "invalid_request", [field])
        for text in (
            "\0",
            "a\0b",
            "x\n",
            "\r\nX: 1",
            "\x1b[2J",
            "\u2028",
            "\ufeff",
            "%s%n",
            "../..",
            "a" * 100 + "\n",
        ):
            answer = await world.send(route, json.dumps({**ROUTES[route], field: text}).encode())
            if field == "name" and (not text.strip() or not text.isprintable()) and text != "\ufeff":
                problem(answer, 400, "invalid_request", [field])
    for name, value in (("name", b"a"), ("metadata", b'{"k":"a"}')):
        twice = b'{"%s":%s,"%s":%s}' % (name.encode(), value, name.encode(), value)
        await world.send(route, twice)


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_of_more_than_one_mebibyte(world, route):
    field = next(iter(ROUTES[route]))
    for size in (MIB - 20 - len(field), MIB + 1, 3 * MIB):
        content = json.dumps({**ROUTES[route], field: "x" * size}).encode()
        answer = await world.send(route, content)
        if len(content) > MIB:
            problem(answer, 413, "body_too_large")

    async def chunks():
        for _ in range(3):
            yield b" " * MIB

    problem(await world.send(route, chunks()), 413, "body_too_large")


@pytest.mark.parametrize("route", [route for route in ROUTES if "{" in route])
async def test_hostile_ids(world, route):
    body = ROUTES[route]
    content = None if body is None else json.dumps(body).encode()
    if route.endswith("/messages"):
        content = b"1"
    for name in re.findall(r"{(\w+)}", route):
        guards = [quote(f"name#{world.tenant.id}#{text}", safe="") for text in ("x", "general")]
        for hostile in (*HOSTILE_IDS, *guards, world.ids[name].lower() + "x", f"{world.ids[name]}%00"):
            answer = await world.send(route, content, **{name: hostile})
            refusals = (200, 404, 405) if route in FOR_ANYBODY else (403, 404, 405)
            assert answer.status_code in refusals, (hostile, answer.text)
            assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("path", LISTS)
async def test_what_a_list_may_be_asked(world, path):
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
        problem(await world.send(f"GET {path}?{query}"), 400, "invalid_request", fields)
    for cursor in ("", "x", "A" * 1024, "%00", "%ff", "%F0%9F%98%80", "====", "..", "eyJpZCI6IngifQ"):
        problem(await world.send(f"GET {path}?cursor={cursor}"), 400, "invalid_cursor")
    for limit in (1, 200):
        assert (await world.send(f"GET {path}?limit={limit}")).status_code == 200


async def test_cursors_hold_for_their_list_only(world):
    for _ in range(2):
        await world.tenant.create_client()
    await world.tenant.create_channel()
    cursor = (await world.send("GET /clients?limit=1")).json()["next_cursor"]
    assert (await world.send(f"GET /clients?limit=1&cursor={cursor}")).status_code == 200
    problem(await world.send(f"GET /channels?cursor={cursor}"), 400, "invalid_cursor")
    for position in (0, 20, len(cursor) - 2):
        other = "A" if cursor[position] != "A" else "B"
        tampered = cursor[:position] + other + cursor[position + 1 :]
        problem(await world.send(f"GET /clients?cursor={tampered}"), 400, "invalid_cursor")


async def test_what_filters_and_periods_may_be(world):
    for status in ("", "Online", "deleted", "%00"):
        problem(await world.send(f"GET /clients?status={status}"), 400, "invalid_request", ["status"])
    for value in ("abc", "", "2026-13-01", "2026-02-30", "20260101", "1e9", "2026-01-01T00:00:00Z"):
        answer = await world.send(f"GET /usage/metrics?start_date={value}")
        problem(answer, 400, "invalid_request", ["start_date"])
    for query in (
        "start_date=2026-02-02&end_date=2026-02-01",
        "start_date=0001-01-01&end_date=9999-12-31",
        "start_date=0001-01-01",
        "end_date=0001-01-01&start_date=9999-12-31",
    ):
        problem(await world.send(f"GET /usage/metrics?{query}"), 400, "invalid_period")
    for query in ("end_date=9999-12-31", "start_date=9999-12-31"):
        await world.send(f"GET /usage/metrics?{query}")
    for path in PLAIN:
        problem(await world.send(f"GET {path}?plan=enterprise"), 400, "invalid_request", ["plan"])


async def test_the_first_days_of_all(world):
    for day in range(1, 7):
        problem(await world.send(f"GET /usage/metrics?end_date=0001-01-0{day}"), 400, "invalid_period")


@pytest.mark.parametrize("route", ROUTES)
async def test_a_trailing_slash_is_the_same_route(world, route):
    # A nonsense body, so that nothing is changed.
    content = None if ROUTES[route] is None and "messages" not in route else b"nonsense"
    gone = route.startswith("DELETE") or "nkey" in route
    nothing = dict.fromkeys(world.ids, "none") if gone else {}
    one, other = (
        await world.send(route, content, **nothing),
        await world.send(f"{route}/", content, **nothing),
    )
    assert one.status_code == other.status_code
    if one.status_code >= 400:
        assert one.json()["code"] == other.json()["code"]


async def test_paths_and_methods_that_are_not_there(world):
    http, base = world.tenant.http, world.tenant.stack.api
    for path in (
        "/",
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v2/clients",
        f"{API}/Clients",
        f"{API}/clients/x/y/z",
    ):
        problem(await http.get(base + path), 404, "not_found")
    problem(await http.get(f"{base}//api//v1//nothing"), 404, "not_found")
    problem(await world.send(f"GET /{'x' * 20_000}"), 404, "not_found")
    for method, path in (
        ("PATCH", "/clients"),
        ("DELETE", "/clients"),
        ("POST", "/usage/current"),
        ("GET", "/auth/login"),
    ):
        answer = await world.send(f"{method} {path}")
        problem(answer, 405, "method_not_allowed")
        assert "OPTIONS" in answer.headers["allow"]
        assert method not in answer.headers["allow"]


async def test_headers_of_a_request_are_not_trusted(world):
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
        answer = await world.tenant.http.post("/channels", content=b'{"name":"\\n"}', headers=raw)
        problem(answer, 400, "invalid_request", ["name"])
        assert answer.headers["x-request-id"] != "mine"


# -- publishing by REST ------------------------------------------------------------------------


async def test_publishing_by_rest(world):
    tenant, channel = world.tenant, world.ids["channel_id"]
    agent = await tenant.create_client()
    socket, nc = await agent.connect_websocket(), await agent.connect_nats()
    await socket.subscribe(channel=channel)
    heard = asyncio.Queue()
    await nc.subscribe(f"tenant.{tenant.id}.channel.{channel}", cb=heard.put)
    await nc.flush()
    route = "POST /channels/{channel_id}/messages"
    for content in (
        b"null",
        b"true",
        b"0",
        b"1e999",
        b'"text"',
        b"[]",
        b"{}",
        b'{"a":1,"a":2}',
        b'{"headers":{}}',
        b'{"data":1,"more":2,"headers":5}',
        b"[" * 500 + b"]" * 500,
        b'"' + b"x" * (MIB - 2) + b'"',
    ):
        assert (await world.send(route, content)).status_code == 202, content[:50]
        got = await asyncio.wait_for(heard.get(), 5)
        assert got.data == content
        assert got.headers.keys() == {"Artcafe-Message-Id"}
        assert (await socket.receive("message"))["subject"] == got.subject
    good = {"X-A": "ü 😀", "x-b": "", "X_C": "a: b", "Content-Type": "text/plain"}
    envelope = json.dumps({"data": {"n": 1}, "headers": good}).encode()
    assert (await world.send(route, envelope)).status_code == 202
    got = await asyncio.wait_for(heard.get(), 5)
    assert json.loads(got.data) == (await socket.receive("message"))["data"] == {"n": 1}
    assert {name: got.headers.get(name) for name in good} == good
    for content in (b"", b" ", b"nonsense", b"\xff", b'"\xff"', b'{"data":', b"1 2", b"[" * 100_000):
        problem(await world.send(route, content), 400, "invalid_request", ["body"])
    for headers in (
        5,
        None,
        "x",
        [],
        {"a": 1},
        {"a": None},
        {"a": ["b"]},
        {"": "x"},
        {"a b": "x"},
        {"a:b": "x"},
        {"a\r\nEvil": "x"},
        {"ü": "x"},
        {"a": "x\r\nEvil: 1"},
        {"a": "\0"},
        {"a": "\x7f"},
        {"a": "\u2028"},
        {"Nats-Msg-Id": "x"},
        {"nats-expected-stream": "x"},
        {"Artcafe-From": "somebody"},
        {"ARTCAFE-MESSAGE-ID": "x"},
        {"x" * 129: "x"},
        {"a": "x" * 5000},
        {f"h{number}": "x" for number in range(33)},
    ):
        answer = await world.send(route, json.dumps({"data": 1, "headers": headers}).encode())
        problem(answer, 400, "bad_headers", ["headers"])
    problem(await world.send(route, b'"' + b"x" * MIB + b'"'), 413, "body_too_large")
    problem(await world.send(route, b" " * (3 * MIB)), 413, "body_too_large")
    assert heard.empty()
    await socket.assert_no_frame("message")


# -- frames ------------------------------------------------------------------------------------

ANSWERS = {
    "heartbeat": "heartbeat_ack",
    "ping": "pong",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "publish": "published",
    "request": "error",
    "presence": None,
    "subscribe_channel": "subscription_confirmed",
    "unsubscribe_channel": "unsubscription_confirmed",
    "subscribe_topic_preview": "subscription_confirmed",
    "unsubscribe_topic_preview": "unsubscription_confirmed",
}
REQUIRED = {
    "publish": {"data"},
    "request": {"subject", "data", "id"},
    "subscribe_channel": {"channel_id"},
    "unsubscribe_channel": {"channel_id"},
}
ANYTHING = {"data", "timestamp", "capabilities"}
FRAME_WRONG = {
    str: (1, True, [], {}),
    dict: (1, "x", []),
    int: ("1", 1.5, 0, -1, 10**6, None),
    float: ("1", 0, 2, []),
}
BAD_IDS = (1.5, True, [], {}, "x" * 129, 2**63, -(2**63), 10**100)
BAD_SUBJECTS = (
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a.",
    " ",
    "a b",
    "a\tb",
    "a\r\nPUB x 1\r\n1",
    "a\n",
    "a\0b",
    "a\x7f",
    "a\x85b",
    "a\x9fb",
    "a\u00a0b",
    "a\u2028b",
    "a\u3000b",
    "x" * 256,
    "ü" * 128,
    "a." * 200 + "a",
    "a*",
    "*a.b",
    "a.b>",
    ">.a",
    "a.>.b",
)
FORBIDDEN = (
    "$SYS.>",
    "$SYS.REQ.USER.AUTH",
    "$JS.API.>",
    "$KV.x",
    "_INBOX.>",
    "_INBOX.*",
    "_INBOX",
    "_heartbeat.{tid}.{cid}",
    "_heartbeat.>",
    "_HEARTBEAT.tenant.{tid}.client.{cid}",
    "_PRESENCE.tenant.{tid}.client.{cid}",
    "_METRICS.tenant.{tid}.client.{cid}",
    "_anything",
    "tenant",
    "tenant.*.x",
    "tenant.>",
    "tenant.{other}.x",
    "{other}.x",
    "{other}",
    "agents.{other}.x",
    "channels.{other}.x",
)


def test_every_frame_is_in_the_table():
    for session_type, table in ((ClientSession, CLIENT_FRAMES), (DashboardSession, DASHBOARD_FRAMES)):
        kinds = {kind.__struct_config__.tag: kind for kind in session_type.received_frames}
        assert kinds.keys() == table.keys()
        for tag, kind in kinds.items():
            fields = {field.name for field in msgspec.structs.fields(kind) if field.required}
            assert fields == REQUIRED.get(tag, set())


class Bystander:
    """A socket of the same organization that must not notice anything."""

    def __init__(self, tenant, agent, socket):
        self.tenant = tenant
        self.agent = agent
        self.socket = socket

    @classmethod
    async def of(cls, tenant):
        agent = await tenant.create_client()
        bystander = cls(tenant, agent, await agent.connect_websocket())
        await bystander.socket.subscribe(subject="calm.*")
        bystander.line = await bystander.lines()
        return bystander

    async def lines(self):
        """The broker's numbers of the connections that the gateway has into the organization."""
        async with httpx.AsyncClient() as http:
            url = f"http://127.0.0.1:{self.tenant.stack.ports.nats_monitor}/connz?auth=1&limit=10000"
            listed = (await http.get(url)).json()["connections"]
        mine = [
            c for c in listed if c.get("name", "").startswith("gateway") and self.tenant.id in json.dumps(c)
        ]
        assert mine
        return {c["cid"] for c in mine}

    async def calm(self):
        assert self.socket.pending("error") == []
        await self.socket.send(type="publish", subject="calm.down", data="calm", id="calm")
        await self.socket.receive("published", id="calm")
        assert (await self.socket.receive("message"))["data"] == "calm"
        assert self.socket.pending("message") == []
        assert await self.lines() == self.line


@pytest.fixture(params=["client", "dashboard"])
async def peer(request, place, tidy):
    """A socket of either kind, which goes on whatever it was sent, and disturbs no other."""
    bystander = await Bystander.of(place.tenant)
    if request.param == "client":
        socket, table = await (await place.tenant.create_client()).connect_websocket(), CLIENT_FRAMES
    else:
        socket, table = await place.tenant.connect_dashboard(), DASHBOARD_FRAMES
    ids = place.ids
    socket.table = {
        kind: {k: v.format(**ids) if isinstance(v, str) else v for k, v in fields.items()}
        for kind, fields in table.items()
    }
    yield socket
    assert await socket.send_and_receive("ping", "pong")
    await bystander.calm()


async def refused(socket, frame, code=None):
    """Send what must be refused; the error bears the frame's id, if it has a usable one."""
    await socket.ws.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
    error = await socket.receive("error")
    codes = (code,) if isinstance(code, str) else code
    assert codes is None or error["code"] in codes, (str(frame)[:300], error)
    assert error["message"]
    if isinstance(frame, dict):
        usable = frame.get("id") if not _is_bad_id(frame.get("id")) else None
        assert error.get("id") == usable, (str(frame)[:300], error)
    return error


def _is_bad_id(given):
    return any(given is bad or (type(given) is type(bad) and given == bad) for bad in BAD_IDS)


async def test_frames_with_missing_and_wrong_fields(peer):
    for kind, fields in peer.table.items():
        right = {"type": kind, **fields, "id": "e"}
        for field in REQUIRED.get(kind, ()):
            await refused(peer, {k: v for k, v in right.items() if k != field}, "bad_frame")
        for field, value in fields.items():
            if field in ANYTHING:
                continue
            for wrong in FRAME_WRONG[type(value)]:
                await refused(peer, {**right, field: wrong}, "bad_frame")
        for bad in BAD_IDS:
            if kind in ("heartbeat", "ping", "presence"):
                continue  # they have no id: it is one more unknown field
            await refused(peer, {**right, "id": bad}, "bad_frame")
        # Unknown fields are ignored.
        await peer.send(**right, zz={"a": [1] * 100}, client_id="x", tenant_id="x", Type="x")
        if ANSWERS[kind]:
            answer = await peer.receive(ANSWERS[kind])
            assert answer.get("id", "e") == "e"


async def test_frames_with_huge_values(peer):
    big = "x" * 200_000
    for kind, fields in peer.table.items():
        for field, value in fields.items():
            if not isinstance(value, str):
                continue
            codes = ("bad_frame", "bad_subject", "channel_not_found")
            if kind == "unsubscribe_channel":
                codes = ("bad_frame",)
            await refused(peer, {"type": kind, **fields, "id": "h", field: big}, codes)
        await refused(peer, {"type": kind + "x" * 100_000, "id": "h"}, "unknown_type")


async def test_frames_that_are_none(peer):
    for text in (
        "{",
        "nonsense",
        "{'type': 'ping'}",
        '{"type": "ping"',
        "",
        " ",
        "\0",
        '{"type":"ping","a":NaN}',
        "\ufeff{}",
    ):
        await refused(peer, text, "not_json")
        await peer.send_and_receive("ping", "pong")
    for raw in (
        b"\xff",
        b'{"type":"ping","x":"\xff"}',
        b'{"type":"publish","subject":"a","data":"\xed\xa0\x80"}',
    ):
        await peer.ws.send(raw, text=True)
        assert (await peer.receive("error"))["code"] == "not_json"
        await peer.send_and_receive("ping", "pong")
    for text in ("[]", "5", '"ping"', "null", "true", '[{"type":"ping"}]'):
        await refused(peer, text, "bad_frame")
    for kind in (None, 5, True, [], {}, ["ping"]):
        await refused(peer, {"type": kind, "id": "t"}, "bad_frame")
    await refused(peer, {"id": "t"}, "bad_frame")
    for kind in ("", "PING", " ping", "ping\0", "auth", "welcome", "message", "error", "x" * 1000):
        await refused(peer, {"type": kind, "id": "t"}, "unknown_type")
    for count in (2_000, 100_000):
        for text in ("[" * count, "[" * count + "]" * count, '{"a":' * count + "1" + "}" * count):
            await refused(peer, text, ("bad_frame", "not_json"))
            await peer.send_and_receive("ping", "pong")
            inside = f'{{"type":"publish","subject":"a","id":"deep","data":{text}}}'
            await refused(peer, inside, ("bad_frame", "not_json", "unknown_type"))
            await peer.send_and_receive("ping", "pong")
    # The bytes of a right frame in a binary message are as good as text.
    await peer.ws.send(b'{"type":"ping"}')
    await peer.receive("pong")
    await refused(peer, b"\x00\x01\x02", "not_json")
    await peer.ws.send(["{", '"type":', '"ping"', "}"])
    await peer.receive("pong")


async def test_dashboard_channels_that_are_not_there(place):
    board = await place.tenant.connect_dashboard()
    for channel in (
        "",
        "x",
        "..",
        "*",
        ">",
        "a b",
        "\0",
        f"name#{place.tenant.id}#x",
        place.ids["client_id"],
    ):
        await refused(
            board, {"type": "subscribe_channel", "channel_id": channel, "id": 1}, "channel_not_found"
        )
    for pattern in ("a b", "a..b", "a*", "", "a.>.b", "x" * 300):
        await refused(board, {"type": "subscribe_topic_preview", "pattern": pattern, "id": 1}, "bad_subject")
    for pattern in ("$SYS.>", "_INBOX.>", "tenant.*.x"):
        await refused(
            board, {"type": "subscribe_topic_preview", "pattern": pattern, "id": 1}, "forbidden_subject"
        )
    assert await board.send_and_receive("ping", "pong")


# -- subjects and headers ----------------------------------------------------------------------


async def test_subjects_that_are_refused(place, other_tenant):
    bystander = await Bystander.of(place.tenant)
    agent = await place.tenant.create_client()
    socket, nc = await agent.connect_websocket(), await agent.connect_nats()
    heard = []

    async def hear(message):
        heard.append(message.subject)

    await nc.subscribe("evil.>", cb=hear)
    await nc.flush()
    kinds = {"publish": {"data": 1}, "request": {"data": 1}, "subscribe": {}, "unsubscribe": {}}
    names = {"tid": place.tenant.id, "cid": agent.id, "other": other_tenant.id}
    for number, (kind, rest) in enumerate(kinds.items()):
        for subject in BAD_SUBJECTS:
            await refused(socket, {"type": kind, "subject": subject, "id": number, **rest}, "bad_subject")
            if kind != "request":
                await refused(socket, {"type": kind, "channel": subject, "id": number, **rest}, "bad_subject")
        for own in (place.tenant.id, f"tenant.{place.tenant.id}"):
            await refused(socket, {"type": kind, "subject": own, "id": number, **rest}, "bad_subject")
        for subject in FORBIDDEN:
            taken = {"type": kind, "subject": subject.format(**names), "id": number, **rest}
            wild = "*" in subject or ">" in subject
            expected = "bad_subject" if wild and kind in ("publish", "request") else "forbidden_subject"
            await refused(socket, taken, expected)
        if kind in ("publish", "request"):
            for subject in ("*", ">", "a.*", "a.>", f"{place.tenant.id}.>"):
                await refused(socket, {"type": kind, "subject": subject, "id": number, **rest}, "bad_subject")
        if kind != "request":
            both = {"type": kind, "subject": "a", "channel": "a", "id": number, **rest}
            await refused(socket, both, "bad_frame")
            await refused(socket, {"type": kind, "id": number, **rest}, "bad_frame")
            for channel in ("*", ">", "a.b"):
                await refused(socket, {"type": kind, "channel": channel, "id": number, **rest}, "bad_subject")
    # Without an id the refusal has none.
    assert "id" not in await refused(socket, {"type": "publish", "subject": "a b", "data": 1})
    # What would be a second command, had it broken the line of the first.
    await refused(
        socket, {"type": "publish", "subject": "x 1\r\n1\r\nPUB evil.x 1\r\n1", "data": 1}, "bad_subject"
    )
    await socket.send(type="publish", subject="x", data="1\r\nPUB evil.x 1\r\n1\r\n", id="ok")
    await socket.receive("published", id="ok")
    # Other scripts are fine.
    for subject in ("größe", "日本.語", "😀", "x" * 255, "a-b_c/d:e#f", "(*)"[:1] + ")"):
        await socket.subscribe(subject=subject, id="s")
        await socket.send(type="publish", subject=subject, data=subject, id="p")
        await socket.receive("published", id="p")
        assert (await socket.receive("message"))["subject"] == subject
    await nc.flush()
    assert heard == []
    await bystander.calm()


async def test_headers_that_are_refused(place):
    bystander = await Bystander.of(place.tenant)
    socket = await (await place.tenant.create_client()).connect_websocket()
    for headers, code in (
        (5, "bad_frame"),
        ([], "bad_frame"),
        ({"a": 1}, "bad_frame"),
        ({"a": None}, "bad_frame"),
        ({"": "x"}, "bad_headers"),
        ({"a b": "x"}, "bad_headers"),
        ({"a:": "x"}, "bad_headers"),
        ({"a\r\nArtcafe-From": "x"}, "bad_headers"),
        ({"a": "x\r\nArtcafe-From: y"}, "bad_headers"),
        ({"a": "\0"}, "bad_headers"),
        ({"ü": "x"}, "bad_headers"),
        ({"Nats-Rollup": "all"}, "bad_headers"),
        ({"ARTCAFE-From": "x"}, "bad_headers"),
        ({"a": "x" * 5000}, "bad_headers"),
        ({str(n): "x" for n in range(33)}, "bad_headers"),
    ):
        await refused(
            socket, {"type": "publish", "subject": "a", "data": 1, "id": 1, "headers": headers}, code
        )
    await bystander.calm()
