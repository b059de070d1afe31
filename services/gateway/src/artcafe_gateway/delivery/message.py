"""One message of the broker, and the forms in which it reaches sockets."""

import base64
from datetime import UTC, datetime

import msgspec

from artcafe_common.broker.subjects import channel_of

FROM_HEADER = "Artcafe-From"
_FROM_LINE = b"\r\nArtcafe-From:"
_encode = msgspec.json.encode


class BrokerMessage:
    """A message on its way to sockets; `data` is valid JSON text whatever was published.

    `seq` is its place in its stream, and `previous_seq` that of the message before it on the subject; 0
    where that is not known.
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
        self.channel = channel_of(tenant_id, subject)
        self.payload_size = len(payload)
        self.data = as_json(payload)
        self.sender = _sender(headers) if headers else None
        # Some clients publish with a reply subject that is no inbox: that asks for nothing.
        self.reply = reply if reply.startswith("_INBOX.") else None
        self.timestamp = datetime.now(UTC)
        self.seq = self.previous_seq = 0


def _sender(headers: bytes) -> str | None:
    at = headers.find(_FROM_LINE)
    if at < 0:
        return None
    return headers[at + len(_FROM_LINE) : headers.index(b"\r\n", at + 2)].strip().decode(errors="replace")


def as_json(payload: bytes) -> bytes:
    """A payload as JSON text: itself when it is that, else `{"base64": …}`."""
    try:
        str(payload, "utf-8")
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b'{"base64":"' + base64.b64encode(payload) + b'"}'
    return payload


def message_frame(delivery: BrokerMessage, spelled: str) -> bytes:
    """`message`, for clients."""
    return _message(delivery, spelled, b',"data":')


def agent_message_frame(delivery: BrokerMessage, spelled: str) -> bytes:
    """`message`, for the SDK's agents that look for the body under that name."""
    return _message(delivery, spelled, b',"message":')


def _message(delivery: BrokerMessage, spelled: str, body: bytes) -> bytes:
    parts = [b'{"type":"message","subject":', _encode(spelled)]
    if delivery.channel is not None:
        parts += [b',"channel":', _encode(delivery.channel)]
    parts += [body, delivery.data]
    if delivery.reply is not None:
        parts += [b',"reply":', _encode(delivery.reply)]
    return b"".join(parts) + _tail(delivery)


def channel_message_frame(delivery: BrokerMessage, channel_id: str) -> bytes:
    """`channel_message`, for dashboards."""
    head = b'{"type":"channel_message","channel_id":' + _encode(channel_id)
    return head + b',"data":' + delivery.data + _tail(delivery)


def preview_frame(delivery: BrokerMessage, spelled: str, dropped: int = 0) -> bytes:
    """`topic_preview_message`, for dashboards; `dropped` tells what was left out before it."""
    return b"".join(
        (
            b'{"type":"topic_preview_message","subject":',
            _encode(spelled),
            b',"data":',
            delivery.data,
            b',"size":',
            str(delivery.payload_size).encode(),
            b',"dropped":%d' % dropped if dropped else b"",
            _tail(delivery),
        )
    )


def _tail(delivery: BrokerMessage) -> bytes:
    sender = b"" if delivery.sender is None else b',"from":' + _encode(delivery.sender)
    seq = b',"seq":%d' % delivery.seq if delivery.seq else b""
    return sender + b',"timestamp":' + _encode(delivery.timestamp) + seq + b"}"
