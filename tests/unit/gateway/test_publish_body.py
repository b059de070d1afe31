"""The body of `POST /channels/{id}/messages`: any JSON, or data with headers."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import InvalidRequest
from artcafe_gateway.http.publish_body import parse_publish_body
from artcafe_gateway.wire.headers import BadHeaders

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON.filter(lambda value: not isinstance(value, dict) or "data" not in value))
def test_any_json_is_the_payload_as_it_was_sent(value):
    raw = json.dumps(value).encode()
    assert parse_publish_body(raw) == (raw, {}, None)


@given(JSON, st.dictionaries(st.sampled_from(["a", "b-c", "X"]), st.sampled_from(["", "v", "é"]), max_size=3))
def test_envelope_is_unwrapped(value, headers):
    data = json.dumps(value).encode()
    raw = b'{"data": %b, "headers": %b}' % (data, json.dumps(headers).encode())
    assert parse_publish_body(raw) == (data, headers, None)


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (b' {"data": {"n": 1.0} } ', b'{"n": 1.0}'),
        (b'{"data":1}', b"1"),
        (b'{"data":null}', b"null"),
        (b'{"data":1,"other":2}', b'{"data":1,"other":2}'),
        (b'{"headers":{}}', b'{"headers":{}}'),
        (b"{}", b"{}"),
        (b"  [1, 2]\n", b"[1, 2]"),
        (b'"text"', b'"text"'),
        (b"1.50", b"1.50"),
    ],
)
def test_payload_keeps_its_spelling(raw, payload):
    assert parse_publish_body(raw) == (payload, {}, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"NaN",
        b"[1,]",
        b'{"a":1}x',
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"'a'",
    ],
)
def test_invalid_json_is_rejected(raw):
    with pytest.raises(InvalidRequest) as error:
        parse_publish_body(raw)
    assert [each.field for each in error.value.errors] == ["body"]


@pytest.mark.parametrize(
    "headers",
    [
        b"1",
        b"null",
        b"[]",
        b'{"a":1}',
        b'{"a":null}',
        b'{"Nats-Msg-Id":"x"}',
        b'{"a b":"x"}',
        b'{"a":"x\\r\\ny"}',
    ],
)
def test_invalid_headers_are_rejected(headers):
    with pytest.raises(BadHeaders) as error:
        parse_publish_body(b'{"data":1,"headers":%b}' % headers)
    assert [each.field for each in error.value.errors] == ["headers"]


def test_deep_nesting_is_rejected_or_passed_on_unchanged():
    raw = b"[" * 100_000 + b"]" * 100_000
    with suppress(InvalidRequest):
        assert parse_publish_body(raw) == (raw, {}, None)


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_rejected(raw):
    try:
        payload, headers, _ = parse_publish_body(raw)
    except (InvalidRequest, BadHeaders):
        return
    json.loads(payload)
    assert isinstance(headers, dict)


def test_message_id_is_part_of_the_envelope():
    assert parse_publish_body(b'{"data":1,"message_id":"a-1"}') == (b"1", {}, "a-1")
    for wrong in (b'""', b"1", b'"a b"', b'"a\\n"', b'"a\\r\\nX: y"', b'"' + b"x" * 129 + b'"', b"{}"):
        with pytest.raises(InvalidRequest):
            parse_publish_body(b'{"data":1,"message_id":%b}' % wrong)
