"""Invalid request bodies, for every route."""

import json

import pytest

from support.api_examples import ROUTES, served_routes
from support.problems import assert_problem

MIB = 1024 * 1024
BODIES = [route for route, body in ROUTES.items() if body is not None]
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


async def test_every_route_is_in_the_table(tenant):
    assert await served_routes(tenant) == set(ROUTES)


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_that_is_no_json_object(api, route):
    for content in (*NOT_JSON, *NO_OBJECT, *DEEP):
        answer = await api.send(route, content)
        assert_problem(answer, 400, "invalid_request")
        if content not in DEEP:
            assert_problem(answer, fields=["body"])


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_that_is_missing_or_empty(api, route):
    for content in (None, b"", b"{}"):
        answer = await api.send(route, content)
        if route.startswith("PUT") and "/members/" not in route:
            assert answer.status_code == 200  # nothing was given, nothing changes
        else:
            assert_problem(answer, 400, "invalid_request", [next(iter(ROUTES[route]))])


@pytest.mark.parametrize("route", BODIES)
async def test_unknown_fields_are_all_named(api, route):
    body = ROUTES[route] | {"zz": 1, "account_id": "x", "plan": "enterprise", "": None, "ü\u0000": []}
    answer = await api.send(route, json.dumps(body).encode())
    assert_problem(answer, 400, "invalid_request", sorted(body.keys() - ROUTES[route].keys()))
    many = {f"f{number}": 1 for number in range(10_000)}
    answer = await api.send(route, json.dumps(many).encode())
    assert len(assert_problem(answer, 400, "invalid_request")["errors"]) == 100


@pytest.mark.parametrize("route", BODIES)
async def test_wrong_types_are_named(api, route):
    for field, right in ROUTES[route].items():
        for wrong in WRONG[type(right)]:
            if field == "permissions" and wrong is None:
                continue  # the default
            answer = await api.send(route, json.dumps({**ROUTES[route], field: wrong}).encode())
            named = assert_problem(answer, 400, "invalid_request")["errors"][0]["field"]
            assert named == field


@pytest.mark.parametrize("route", BODIES)
async def test_huge_and_strange_texts(api, route):
    for field, right in ROUTES[route].items():
        if not isinstance(right, str):
            continue
        for text in ("x" * 200_000, "😀" * 60_000):
            answer = await api.send(route, json.dumps({**ROUTES[route], field: text}).encode())
            if field in UNBOUNDED and route.startswith("POST /auth"):
                assert answer.status_code in (400, 401)
            else:
                assert_problem(answer, 400, "invalid_request", [field])
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
            answer = await api.send(route, json.dumps({**ROUTES[route], field: text}).encode())
            if field == "name" and (not text.strip() or not text.isprintable()) and text != "\ufeff":
                assert_problem(answer, 400, "invalid_request", [field])
    for name, value in (("name", b"a"), ("metadata", b'{"k":"a"}')):
        twice = b'{"%s":%s,"%s":%s}' % (name.encode(), value, name.encode(), value)
        await api.send(route, twice)


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_of_more_than_one_mebibyte(api, route):
    field = next(iter(ROUTES[route]))
    for size in (MIB - 20 - len(field), MIB + 1, 3 * MIB):
        content = json.dumps({**ROUTES[route], field: "x" * size}).encode()
        answer = await api.send(route, content)
        if len(content) > MIB:
            assert_problem(answer, 413, "body_too_large")

    async def chunks():
        for _ in range(3):
            yield b" " * MIB

    assert_problem(await api.send(route, chunks()), 413, "body_too_large")
