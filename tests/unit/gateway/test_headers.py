"""Message headers: what the broker can carry, and what is reserved for the platform."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_gateway.wire.headers import MAX_HEADER_BYTES, MAX_HEADERS, BadHeaders, validate_headers
from support.fakes.ids import CLIENT, SIGNER


def test_valid_headers_are_returned_unchanged():
    headers = {"A": "b", "x-trace!#$%&'*+.^_`|~": "", "n": "é 数 \u00a0".strip()}
    assert validate_headers(headers) is headers


@pytest.mark.parametrize(
    "name", ["", "a b", "a:b", "a\n", "é", "a\0", "x" * 129, "(", "Nats-Msg-Id", "nats-x", "ARTCAFE-FROM"]
)
def test_invalid_name_is_rejected(name):
    with pytest.raises(BadHeaders):
        validate_headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nb", "a\n", "\0", "\t", "\x1b[2J", "\u2028", "\ud800", "\x7f", "\x85"]
)
def test_value_must_be_one_printable_line(value):
    with pytest.raises(BadHeaders):
        validate_headers({"a": value})


def test_number_of_headers_is_limited():
    headers = {f"h{number}": "" for number in range(MAX_HEADERS)}
    validate_headers(headers)
    with pytest.raises(BadHeaders):
        validate_headers({**headers, "one-more": ""})


def test_size_is_limited_in_bytes():
    validate_headers({"a": "x" * (MAX_HEADER_BYTES - 1)})
    with pytest.raises(BadHeaders):
        validate_headers({"a": "x" * MAX_HEADER_BYTES})
    with pytest.raises(BadHeaders):
        validate_headers({"a": "é" * (MAX_HEADER_BYTES // 2)})


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=5))
def test_accepted_headers_survive_the_wire(headers):
    try:
        validate_headers(headers)
    except BadHeaders:
        return
    block = SIGNER.sign(CLIENT, "a", b"1", headers)
    assert block.startswith(b"NATS/1.0\r\n")
    assert block.endswith(b"\r\n\r\n")
    lines = block.decode().split("\r\n")[3:-2]
    assert dict(line.split(": ", 1) for line in lines) == headers
