"""Invalid request bodies, for every route."""

import json

import pytest

from support.api_examples import ROUTES, served_routes
from support.problems import assert_problem

MIB = 1024 * 1024
ROUTES_WITH_BODY = [route for route, body in ROUTES.items() if body is not None]
# The identity provider validates these, whatever their length.
FORWARDED_FIELDS = {"email", "password", "refresh_token"}
WRONG_TYPES = {
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
NOT_AN_OBJECT = (b"[]", b"5", b'"x"', b"null", b"true", b'[{"name":"x"}]', b'{"x": 1e999}')
DEEPLY_NESTED = (
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    *(b'{"metadata":{"a":' + b"[" * n + b"]" * n + b"}}" for n in (80, 400, 900, 1500, 100_000)),
)


async def test_examples_cover_every_route(tenant):
    assert await served_routes(tenant) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES_WITH_BODY)
async def test_body_that_is_not_a_json_object_is_rejected(api, route):
    for content in (*NOT_JSON, *NOT_AN_OBJECT, *DEEPLY_NESTED):
        response = await api.send(route, content)
        assert_problem(response, 400, "invalid_request")
        if content not in DEEPLY_NESTED:
            assert_problem(response, fields=["body"])


@pytest.mark.parametrize("route", ROUTES_WITH_BODY)
async def test_missing_or_empty_body_is_rejected_except_for_updates(api, route):
    for content in (None, b"", b"{}"):
        response = await api.send(route, content)
        if route.startswith("PUT") and "/members/" not in route:
            assert response.status_code == 200  # an update without fields changes nothing
        else:
            assert_problem(response, 400, "invalid_request", [next(iter(ROUTES[route]))])


@pytest.mark.parametrize("route", ROUTES_WITH_BODY)
async def test_all_unknown_fields_are_named(api, route):
    body = ROUTES[route] | {"zz": 1, "account_id": "x", "plan": "enterprise", "": None, "ü\u0000": []}
    response = await api.send(route, json.dumps(body).encode())
    assert_problem(response, 400, "invalid_request", sorted(body.keys() - ROUTES[route].keys()))
    many = {f"f{number}": 1 for number in range(10_000)}
    response = await api.send(route, json.dumps(many).encode())
    assert len(assert_problem(response, 400, "invalid_request")["errors"]) == 100


@pytest.mark.parametrize("route", ROUTES_WITH_BODY)
async def test_fields_of_the_wrong_type_are_named(api, route):
    for field, valid in ROUTES[route].items():
        for wrong in WRONG_TYPES[type(valid)]:
            if field == "permissions" and wrong is None:
                continue  # null selects the default
            response = await api.send(route, json.dumps({**ROUTES[route], field: wrong}).encode())
            problem = assert_problem(response, 400, "invalid_request")
            assert problem["errors"][0]["field"] == field


@pytest.mark.parametrize("route", ROUTES_WITH_BODY)
async def test_too_long_and_unprintable_text_is_rejected(api, route):
    for field, valid in ROUTES[route].items():
        if not isinstance(valid, str):
            continue
        for text in ("x" * 200_000, "😀" * 60_000):
            response = await api.send(route, json.dumps({**ROUTES[route], field: text}).encode())
            if field in FORWARDED_FIELDS and route.startswith("POST /auth"):
                assert response.status_code in (400, 401)
            else:
                assert_problem(response, 400, "invalid_request", [field])
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
            response = await api.send(route, json.dumps({**ROUTES[route], field: text}).encode())
            if field == "name" and (not text.strip() or not text.isprintable()) and text != "\ufeff":
                assert_problem(response, 400, "invalid_request", [field])
    for name, value in (("name", b"a"), ("metadata", b'{"k":"a"}')):
        duplicate = b'{"%s":%s,"%s":%s}' % (name.encode(), value, name.encode(), value)
        await api.send(route, duplicate)


@pytest.mark.parametrize("route", ROUTES_WITH_BODY)
async def test_body_over_one_mebibyte_is_rejected(api, route):
    field = next(iter(ROUTES[route]))
    for size in (MIB - 20 - len(field), MIB + 1, 3 * MIB):
        content = json.dumps({**ROUTES[route], field: "x" * size}).encode()
        response = await api.send(route, content)
        if len(content) > MIB:
            assert_problem(response, 413, "body_too_large")

    async def chunks():
        for _ in range(3):
            yield b" " * MIB

    assert_problem(await api.send(route, chunks()), 413, "body_too_large")
