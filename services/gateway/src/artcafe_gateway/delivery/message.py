"""Broker messages, and the WebSocket frames made of them."""

import base64
from datetime import UTC, datetime

import msgspec

from artcafe_common.broker.subjects import channel_id_of

FROM_HEADER = "Artcafe-From"
_FROM_LINE = b"\r\nArtcafe-From:"
_encode = msgspec.json.encode


class BrokerMessage:
    """A message received from the broker.

    `data` is the payload as JSON text. `seq` and `previous_seq` are the stream sequence numbers of
    this message and of the one before it on the subject; 0 when unknown.
    """

    __slots__ = (
        "channel",
        "data",
        "payload_size",
        "previous_seq",
        "reply",
        "sender",
        "seq",
        "subject",
        "timestamp",
    )

    def __init__(self, tenant_id: str, subject: str, reply: str, payload: bytes, headers: bytes) -> None:
        self.subject = subject
        self.channel = channel_id_of(tenant_id, subject)
        self.payload_size = len(payload)
        self.data = as_json(payload)
        self.sender = _sender(headers) if headers else None
        # Some clients set a reply subject that is not an inbox, and expect no reply.
        self.reply = reply if reply.startswith("_INBOX.") else None
        self.timestamp = datetime.now(UTC)
        self.seq = self.previous_seq = 0


def _sender(headers: bytes) -> str | None:
    at = headers.find(_FROM_LINE)
    if at < 0:
        return None
    return headers[at + len(_FROM_LINE) : headers.index(b"\r\n", at + 2)].strip().decode(errors="replace")


def as_json(payload: bytes) -> bytes:
    """The payload if it is JSON text, else `{"base64": …}`."""
    try:
        str(payload, "utf-8")
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b'{"base64":"' + base64.b64encode(payload) + b'"}'
    return payload


def message_frame(message: BrokerMessage, subject: str) -> bytes:
    """Renders `message`, for clients."""
    return _message_frame(message, subject, b',"data":')


def agent_message_frame(message: BrokerMessage, subject: str) -> bytes:
    """Renders `message` with the body in `message`, for agents of the published SDK."""
    return _message_frame(message, subject, b',"message":')


def _message_frame(message: BrokerMessage, subject: str, body_field: bytes) -> bytes:
    parts = [b'{"type":"message","subject":', _encode(subject)]
    if message.channel is not None:
        parts += [b',"channel":', _encode(message.channel)]
    parts += [body_field, message.data]
    if message.reply is not None:
        parts += [b',"reply":', _encode(message.reply)]
    return b"".join(parts) + _common_fields(message)


def channel_message_frame(message: BrokerMessage, channel_id: str) -> bytes:
    """Renders `channel_message`, for dashboards."""
    head = b'{"type":"channel_message","channel_id":' + _encode(channel_id)
    return head + b',"data":' + message.data + _common_fields(message)


def preview_frame(message: BrokerMessage, subject: str, dropped: int = 0) -> bytes:
    """Renders `topic_preview_message`, for dashboards; `dropped` messages were left out before it."""
    return b"".join(
        (
            b'{"type":"topic_preview_message","subject":',
            _encode(subject),
            b',"data":',
            message.data,
            b',"size":',
            str(message.payload_size).encode(),
            b',"dropped":%d' % dropped if dropped else b"",
            _common_fields(message),
        )
    )


def _common_fields(message: BrokerMessage) -> bytes:
    sender = b"" if message.sender is None else b',"from":' + _encode(message.sender)
    seq = b',"seq":%d' % message.seq if message.seq else b""
    return sender + b',"timestamp":' + _encode(message.timestamp) + seq + b"}"
