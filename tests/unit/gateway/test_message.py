"""Broker messages as JSON frames."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_gateway.bridges.connection import encode_headers
from artcafe_gateway.delivery.message import (
    BrokerMessage,
    agent_message_frame,
    as_json,
    channel_message_frame,
    message_frame,
    preview_frame,
)
from support.fakes.ids import CHANNEL, OTHER_TENANT, TENANT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def message(payload=b"1", *, subject=f"{TENANT}.a", reply="", headers=b""):
    return BrokerMessage(TENANT, subject, reply, payload, headers)


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


@pytest.mark.parametrize(
    ("reply", "expected"), [("_INBOX.x.1", "_INBOX.x.1"), ("", None), ("jobs.done", None), ("_INBOX", None)]
)
def test_only_an_inbox_is_a_reply_subject(reply, expected):
    frame = json.loads(message_frame(message(reply=reply), "a"))
    assert frame.get("reply") == expected


def test_sender_comes_from_the_header():
    headers = encode_headers({"A": "b", "Artcafe-From": "client-1", "C": "d"})
    assert json.loads(message_frame(message(headers=headers), "a"))["from"] == "client-1"
    assert message(headers=encode_headers({"X-Artcafe-From": "x"})).sender is None
    assert message(headers=b"NATS/1.0\r\n\r\n").sender is None


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
