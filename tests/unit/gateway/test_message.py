"""Broker messages as JSON frames."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_gateway.delivery.headers import MAX_HEADERS
from artcafe_gateway.delivery.message import (
    MAX_FRAME_BYTES,
    MAX_PAYLOAD_BYTES,
    BrokerMessage,
    agent_message_frame,
    as_json,
    channel_message_frame,
    message_frame,
    preview_frame,
)
from artcafe_gateway.wire.headers import validate_headers
from support.fakes.ids import CHANNEL, CLIENT, OTHER_TENANT, SIGNER, TENANT
from support.header_blocks import encode_headers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def message(payload=b"1", *, subject=f"{TENANT}.a", reply="", headers=b""):
    return BrokerMessage(SIGNER, subject, reply, payload, headers)


@given(JSON)
def test_json_payload_is_delivered_unchanged(value):
    payload = json.dumps(value).encode()
    assert as_json(payload) is payload
    assert json.loads(message_frame(message(payload), "a"))["data"] == value


@given(st.binary(max_size=100))
def test_any_payload_makes_a_valid_frame(payload):
    frame = json.loads(message_frame(message(payload), "a"))
    try:
        expected = json.loads(payload.decode())
    except ValueError:
        expected = {"base64": base64.b64encode(payload).decode()}
    if expected == expected:  # noqa: PLR0124 - Python's own decoder accepts NaN
        assert frame["data"] in (expected, {"base64": base64.b64encode(payload).decode()})


@pytest.mark.parametrize("payload", [b"", b"{", b"NaN", b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000])
def test_invalid_json_is_delivered_as_base64(payload):
    data = json.loads(message_frame(message(payload), "a"))["data"]
    assert base64.b64decode(data["base64"]) == payload


def test_frame_has_subject_timestamp_and_no_absent_fields():
    frame = json.loads(message_frame(message(b'{"n":1}'), "a"))
    assert frame.pop("timestamp").endswith("Z")
    assert frame == {"type": "message", "subject": "a", "data": {"n": 1}}


def test_channel_and_sequence_number_are_in_the_frame():
    stored = message(subject=f"tenant.{TENANT}.channel.{CHANNEL}")
    stored.seq = 7
    frame = json.loads(message_frame(stored, stored.subject))
    assert (frame["channel"], frame["seq"]) == (CHANNEL, 7)


def test_channel_of_another_tenant_is_not_a_channel():
    assert message(subject=f"tenant.{OTHER_TENANT}.channel.{CHANNEL}").channel is None


def test_only_a_signed_sender_is_shown():
    signed = SIGNER.sign(CLIENT, f"{TENANT}.a", b"1")
    frame = json.loads(message_frame(message(headers=signed), "a"))
    assert (frame["from"], "headers" in frame) == (CLIENT, False)
    assert json.loads(message_frame(message(b"2", headers=signed), "a")).get("from") is None
    assert message(headers=SIGNER.sign("", f"{TENANT}.a", b"1")).sender is None
    for forged in ({"Artcafe-From": CLIENT}, {"Artcafe-Message-Id": "1", "Artcafe-From": CLIENT}):
        received = message(headers=encode_headers(forged))
        assert (received.sender, received.message_id, received.headers) == (None, None, None)


def test_copy_of_a_signed_message_proves_nothing_later():
    signed = SIGNER.sign(CLIENT, f"{TENANT}.a", b"1")
    for seconds, sender in ((20, CLIENT), (40, None)):
        stored_at = datetime.now(UTC) + timedelta(seconds=seconds)
        assert BrokerMessage(SIGNER, f"{TENANT}.a", "", b"1", signed, stored_at).sender == sender


def test_headers_of_the_publisher_are_in_every_frame():
    signed = SIGNER.sign(CLIENT, f"{TENANT}.a", b"1", {"Trace": "1", "Artcafe-Message-Id": "m"})
    plain = b"NATS/1.0\r\nTrace: 1\r\nNats-Stream: x\r\nnats-a: b\r\nArtcafe-From: x\r\n\r\n"
    for block in (signed, plain):
        received = message(headers=block)
        for frame in (message_frame, agent_message_frame, channel_message_frame, preview_frame):
            assert json.loads(frame(received, "a"))["headers"] == {"Trace": "1"}
    assert message(headers=signed).message_id == "m"


def test_odd_headers_are_shown_within_bounds():
    def headers(lines):
        return message(headers=b"NATS/1.0 503\r\n" + lines + b"\r\n").headers

    assert headers(b"A: 1\r\nB:2\r\nA:  3 \r\n") == {"A": "1, 3", "B": "2"}
    assert headers(b"Status: 503\r\n") == {"Status": "503"}
    assert headers(b"no colon\r\n: x\r\na b: x\r\n\xff: x\r\n") is None
    assert headers(b"A: \xff\x00\r\n") == {"A": "\ufffd\0"}
    assert len(headers(b"".join(b"H%d: x\r\n" % number for number in range(1000)))) == MAX_HEADERS
    assert headers(b"A: b\r\nB: " + b"x" * 20_000 + b"\r\n") == {"A": "b"}


@given(st.binary(max_size=100))
def test_any_header_block_makes_a_valid_frame(block):
    assert json.loads(message_frame(message(headers=block), "a"))["data"] == 1


# -- sizes -----------------------------------------------------------------------------------------


def test_largest_payload_that_is_accepted_fits_into_every_frame():
    """With the longest names and headers, all of which JSON has to escape."""
    subject = f"tenant.{TENANT}.channel." + '"' * 200
    payload = b'"' + b"x" * (MAX_PAYLOAD_BYTES - 2) + b'"'
    headers = {f"N{number}": '"' * 120 for number in range(32)}
    validate_headers(headers)
    signed = SIGNER.sign(CLIENT, subject, payload, headers)
    stored = BrokerMessage(SIGNER, subject, "_INBOX." + '"' * 200, payload, signed)
    stored.seq = 2**63
    for render in (message_frame, agent_message_frame, channel_message_frame, preview_frame):
        frame = render(stored, subject)
        assert len(frame) <= MAX_FRAME_BYTES
        assert json.loads(frame)["headers"] == headers


def test_larger_message_is_replaced_by_an_error():
    subject = f"tenant.{TENANT}.channel.{CHANNEL}"
    for payload in (b"\xff" * 900_000, b"1" * MAX_FRAME_BYTES):
        stored = BrokerMessage(SIGNER, subject, "", payload, b"")
        stored.seq = 7
        for render in (message_frame, agent_message_frame, channel_message_frame, preview_frame):
            frame = json.loads(render(stored, subject))
            assert (frame["type"], frame["code"]) == ("error", "message_too_large")
            assert frame["detail"] == {
                "subject": subject,
                "channel": CHANNEL,
                "seq": 7,
                "size": len(payload),
            }


def test_agent_frame_has_the_body_in_message():
    frame = json.loads(agent_message_frame(message(b"[1]"), "a"))
    assert frame["message"] == [1]
    assert "data" not in frame


def test_dashboard_frames_name_channel_size_and_dropped_messages():
    frame = json.loads(channel_message_frame(message(b"[1]"), CHANNEL))
    assert (frame["type"], frame["channel_id"], frame["data"]) == ("channel_message", CHANNEL, [1])
    preview = json.loads(preview_frame(message(b"[1]"), "a"))
    assert (preview["type"], preview["size"], preview.get("dropped")) == ("topic_preview_message", 3, None)
    assert json.loads(preview_frame(message(b"[1]"), "a", 5))["dropped"] == 5


@given(st.text(max_size=30))
def test_any_subject_is_escaped(subject):
    try:
        subject.encode()
    except UnicodeEncodeError:
        return
    assert json.loads(message_frame(message(), subject))["subject"] == subject
