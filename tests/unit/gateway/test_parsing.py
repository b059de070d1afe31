"""WebSocket messages as frames, or as the error that the client receives."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import CommandError
from artcafe_gateway.sessions.client import ClientSession
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.parsing import BadFrame, NotJson, UnknownType, parse_frame, parse_frame_id

DECODER = ClientSession.decoder


def test_known_frame_is_parsed():
    frame = parse_frame(DECODER, b'{"type":"publish","subject":"a","data":{"n":1.0},"unknown":1}')
    assert isinstance(frame, frames.Publish)
    assert (frame.subject, bytes(frame.data)) == ("a", b'{"n":1.0}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"{",
        b'{"type":"ping"',
        b'{"type":"ping"}{}',
        b"\xff",
        b'{"type":"publish","subject":"a","data":"\xff"}',
        b'{"type":"ping","x":"\xed\xa0\x80"}',
        b"NaN",
    ],
)
def test_text_that_is_not_json(data):
    with pytest.raises(NotJson):
        parse_frame(DECODER, data)


LONE_SURROGATES = [
    rb"\ud83d",
    rb"\uD83D",
    rb"\udc00",
    rb"\ud83d\ud83d",
    rb"\ude00\ud83d",
    rb"\ud83d\ud83d\ude00",
    rb"\ud83d\u0041",
    rb"\ud83d\n",
    rb"\\\ud83d",
    rb"a\ud83db",
]


@pytest.mark.parametrize("text", LONE_SURROGATES)
@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"publish","id":7,"subject":"a","data":"%b"}',
        b'{"type":"publish","id":7,"subject":"a","data":{"%b":[1]}}',
        b'{"type":"publish","id":7,"subject":"%b","data":1}',
        b'{"type":"publish","id":7,"subject":"a","headers":{"a":"%b"},"data":1}',
        b'{"type":"heartbeat","id":7,"metrics":{"a":"%b"}}',
        b'{"type":"ping","id":7,"unknown":"%b"}',
    ],
)
def test_lone_surrogate_is_a_bad_frame_with_its_id(frame, text):
    with pytest.raises(BadFrame, match="surrogate"):
        parse_frame(DECODER, frame % text)
    assert parse_frame_id(frame % text) == 7


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud83d", rb"\\\\udc00", rb"\u00e9", rb"\\"])
def test_pairs_and_escaped_backslashes_are_accepted(text):
    frame = parse_frame(DECODER, b'{"type":"publish","subject":"a","data":"%b"}' % text)
    assert bytes(frame.data) == b'"%b"' % text


@pytest.mark.parametrize(
    "data", [rb'{"a":"\ud83d"', rb'"\ud83d', rb"\ud83d", rb'{"a":"\ud83d" "b"}', rb'"\ud8"']
)
def test_lone_surrogate_in_text_that_is_not_json(data):
    with pytest.raises(NotJson):
        parse_frame(DECODER, data)


@given(st.text(st.characters(exclude_categories=())))
def test_every_string_is_accepted_or_a_bad_frame(text):
    data = json.dumps({"type": "publish", "subject": "a", "data": text}).encode()
    if any("\ud800" <= character <= "\udfff" for character in json.loads(json.dumps(text))):
        with pytest.raises(BadFrame):
            parse_frame(DECODER, data)
    else:
        assert json.loads(bytes(parse_frame(DECODER, data).data)) == json.loads(json.dumps(text))


@pytest.mark.parametrize("kind", [b'"pong"', b'"PING"', b'""', b'"subscribe_channel"'])
def test_unknown_type(kind):
    with pytest.raises(UnknownType):
        parse_frame(DECODER, b'{"type":%b}' % kind)


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"1",
        b"[]",
        b'"ping"',
        b"{}",
        b'{"type":1}',
        b'{"type":null}',
        b'{"type":"publish","subject":"a"}',
        b'{"type":"publish","data":1,"subject":1}',
        b'{"type":"subscribe","id":true}',
        b'{"type":"subscribe","id":"%b"}' % (b"x" * 129),
        b'{"type":"subscribe","channel":"c","last":-1}',
        b'{"type":"subscribe","channel":"c","since":0}',
        b'{"type":"request","subject":"a","data":1,"id":1,"timeout_ms":0}',
        b'{"type":"publish","subject":"a","data":1,"headers":{"a":1}}',
    ],
)
def test_fields_of_the_wrong_type(data):
    with pytest.raises(BadFrame):
        parse_frame(DECODER, data)


def test_frame_without_a_type_is_named():
    with pytest.raises(BadFrame) as error:
        parse_frame(DECODER, b'{"subject":"a"}')
    assert "type" in error.value.detail


def test_deep_nesting_is_an_error_of_the_frame():
    nested = b"[" * 100_000 + b"]" * 100_000
    for data in (b'{"type":"heartbeat","timestamp":%b}' % nested, nested):
        with pytest.raises(CommandError):
            parse_frame(DECODER, data)


@pytest.mark.parametrize(
    ("data", "frame_id"),
    [
        (b'{"id":"a"}', "a"),
        (b'{"id":7,"type":1}', 7),
        (b'{"id":"%b"}' % (b"x" * 128), "x" * 128),
        (b'{"id":"%b"}' % (b"x" * 129), None),
        (b'{"id":9223372036854775807}', 2**63 - 1),
        (b'{"id":9223372036854775808}', None),
        (b'{"id":true}', None),
        (b'{"id":1.5}', None),
        (b'{"id":null}', None),
        (b'{"id":[1]}', None),
        (b"{}", None),
        (b"[]", None),
        (b"{", None),
        (b"[" * 100_000, None),
    ],
)
def test_id_of_a_rejected_frame(data, frame_id):
    assert parse_frame_id(data) == frame_id


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_frame_or_a_command_error(data):
    with suppress(NotJson, UnknownType, BadFrame):
        parse_frame(DECODER, data)
    parse_frame_id(data)


@pytest.mark.parametrize("frame_type", ClientSession.received_frames)
def test_frame_is_rejected_only_for_missing_required_fields(frame_type):
    data = b'{"type":"%b"}' % frame_type.__struct_config__.tag.encode()
    if any(field.required for field in msgspec.structs.fields(frame_type)):
        with pytest.raises(BadFrame):
            parse_frame(DECODER, data)
    else:
        assert type(parse_frame(DECODER, data)) is frame_type
