"""Broker messages, and the WebSocket frames made of them."""

import base64
import time
from datetime import UTC, datetime

import msgspec

from artcafe_common.broker.subjects import (
    INBOX_PREFIX,
    PRIVATE_INBOX_PREFIX,
    BadSubject,
    channel_id_of,
    validate,
)
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id
from artcafe_gateway.delivery.client_keys import SignatureResult
from artcafe_gateway.delivery.client_signatures import (
    ClientSignature,
    ClientSignatureVerifier,
    is_signed,
    parse_signature,
)
from artcafe_gateway.delivery.headers import last_header, parse_headers
from artcafe_gateway.delivery.signatures import MessageSigner

MESSAGE_ID_HEADER = "Artcafe-Message-Id"
# By this header the broker stores a message once that is published again within two minutes.
UNIQUE_ID_HEADER = "Nats-Msg-Id"
# Of the ids that a gateway gives to messages whose publisher chose none, so that it can have them stored again.
GATEWAY_ID_PREFIX = "gateway."
# Many WebSocket clients close the connection when they receive a larger message.
MAX_FRAME_BYTES = 1024 * 1024
# A payload published through the gateway: the rest of a frame is for names and headers.
MAX_PAYLOAD_BYTES = 1_000_000
# The span of the publish, in a message of a sampled trace. Gateways alone set it, and sign it.
TRACE_HEADER = "Artcafe-Trace"
_encode = msgspec.json.encode


def create_unique_id() -> str:
    """The unique id of a message whose publisher chose none."""
    return f"{GATEWAY_ID_PREFIX}{new_id()}"


class MessageTooLarge(CommandError):
    """A message that was published directly over NATS does not fit into a WebSocket frame of 1 MiB.

    It arrives as this error in its place; `detail` has its subject and size, and its `seq` if it is stored.
    """

    status = 413
    code = "message_too_large"
    title = "The message does not fit into a frame"
    remedy = (
        "Subscribe directly over NATS, or have the publisher send less: at most 1,000,000 bytes of JSON, or 750,000 "
        "bytes of other data."
    )


class BrokerMessage:
    """A message received from the broker.

    `data` is the payload as JSON text, and `sender`, `message_id`, `unique_id` and `headers` are what the header block proves or
    says; None without one. While `signature` is set, the sender is known only after the client's key was looked up, and `settle` was called. `timestamp` is when the message was stored, or else received. `seq` and `previous_seq` are the stream sequence numbers of
    this message and of the one before it on the subject; 0 when unknown.
    """

    __slots__ = (
        "channel",
        "data",
        "headers",
        "message_id",
        "payload_size",
        "previous_seq",
        "reply",
        "sender",
        "seq",
        "signature",
        "subject",
        "timestamp",
        "traceparent",
        "unique_id",
    )

    def __init__(
        self,
        signer: MessageSigner,
        subject: str,
        reply: str,
        payload: bytes,
        headers: bytes,
        stored_at: datetime | None = None,
    ) -> None:
        self.subject = subject
        self.channel = channel_id_of(signer.tenant_id, subject)
        self.payload_size = len(payload)
        self.data = as_json(payload)
        self.reply = reply if reply and _expects_reply(reply) else None
        self.timestamp = stored_at or datetime.now(UTC)
        self.seq = self.previous_seq = 0
        self.sender: str | None = None
        self.signature: ClientSignature | None = None
        self.message_id: str | None = None
        self.unique_id: str | None = None
        self.traceparent: str | None = None
        self.headers: dict[str, str] | None = None
        if headers:
            self._read_headers(signer, payload, headers, stored_at)

    def _read_headers(
        self, signer: MessageSigner, payload: bytes, block: bytes, stored_at: datetime | None
    ) -> None:
        at_ms = time.time_ns() // 1_000_000 if stored_at is None else to_milliseconds(stored_at)
        verified = signer.verify(self.subject, payload, block, at_ms)
        if verified is None:
            self.headers = parse_headers(block.partition(b"\r\n")[2]) or None
            if signer.clients is not None and is_signed(block):
                self._read_signature(signer.clients, payload, block, at_ms)
            return
        sender, lines = verified
        self.sender = sender or None
        if lines:
            self.message_id = last_header(b"\r\n" + lines, MESSAGE_ID_HEADER.encode())
            self.unique_id = last_header(b"\r\n" + lines, UNIQUE_ID_HEADER.encode())
            if signer.tracer.enabled:
                self.traceparent = last_header(b"\r\n" + lines, TRACE_HEADER.encode())
            self.headers = parse_headers(lines) or None

    def _read_signature(
        self, clients: ClientSignatureVerifier, payload: bytes, block: bytes, at_ms: int
    ) -> None:
        signature = parse_signature(self.subject, payload, block, at_ms)
        if signature is None:
            clients.record_malformed()
            return
        result = clients.verify(signature, may_wait=True)
        if result is None:
            self.signature = signature
        elif result is SignatureResult.VERIFIED:
            self.sender = signature.client_id

    def settle(self, clients: ClientSignatureVerifier) -> None:
        """Sets the sender by the key that was looked up, or none without one."""
        signature, self.signature = self.signature, None
        if signature is not None and clients.verify(signature) is SignatureResult.VERIFIED:
            self.sender = signature.client_id


def to_milliseconds(moment: datetime) -> int:
    """A time in milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)


def is_inbox(subject: str) -> bool:
    """Whether a subject serves for replies only: a client's inbox, of any prefix like `_INBOX`, or the platform's."""
    head, dot, _ = subject.partition(".")
    return bool(dot) and (head.startswith(INBOX_PREFIX) or head == PRIVATE_INBOX_PREFIX)


def is_private_inbox(subject: str) -> bool:
    """Whether a subject is an inbox of a gateway, to which no client can subscribe."""
    return subject.startswith(f"{PRIVATE_INBOX_PREFIX}.")


def _expects_reply(reply: str) -> bool:
    # Some clients set a single word as the reply subject, and expect no reply. The platform's own subjects
    # (acknowledgements of streams) begin with `$` or `_`, as inboxes do.
    if "." not in reply or (reply.startswith(("$", "_")) and not is_inbox(reply)):
        return False
    try:
        validate(reply, wildcards=False)
    except BadSubject:
        return False
    return True


def as_json(payload: bytes) -> bytes:
    """The payload if it is JSON text, else `{"base64": …}`."""
    try:
        str(payload, "utf-8")
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b'{"base64":"' + base64.b64encode(payload) + b'"}'
    return payload


class MessageFrames:
    """Renders the frame `message` with the payload in the field `body`."""

    __slots__ = ("_body",)

    def __init__(self, body: str) -> None:
        self._body = b',"%b":' % body.encode()

    def head(self, subject: str, channel: str | None, queue: str = "") -> bytes:
        """What precedes the payload; `queue` is the group that the frame is for."""
        parts = [b'{"type":"message","subject":', _encode(subject)]
        if channel is not None:
            parts += [b',"channel":', _encode(channel)]
        if queue:
            parts += [b',"queue":', _encode(queue)]
        return b"".join((*parts, self._body))

    def __call__(self, message: BrokerMessage, subject: str, *, queue: str = "") -> bytes:
        """The frame, or an `error` in its place if it is too large."""
        reply = b"" if message.reply is None else b',"reply":' + _encode(message.reply)
        parts = (self.head(subject, message.channel, queue), message.data, reply, _common_fields(message))
        return _fit(b"".join(parts), message, subject)


# For clients, and for agents of the published SDK.
message_frame = MessageFrames("data")
agent_message_frame = MessageFrames("message")


def channel_message_frame(message: BrokerMessage, channel_id: str) -> bytes:
    """Renders `channel_message`, for dashboards."""
    head = b'{"type":"channel_message","channel_id":' + _encode(channel_id)
    return _fit(head + b',"data":' + message.data + _common_fields(message), message, message.subject)


def preview_frame(message: BrokerMessage, subject: str, dropped: int = 0) -> bytes:
    """Renders `topic_preview_message`, for dashboards; `dropped` messages were left out before it."""
    frame = b"".join(
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
    return _fit(frame, message, subject)


def _common_fields(message: BrokerMessage) -> bytes:
    sender = b"" if message.sender is None else b',"from":' + _encode(message.sender)
    headers = b"" if message.headers is None else b',"headers":' + _encode(message.headers)
    seq = b',"seq":%d' % message.seq if message.seq else b""
    return sender + headers + b',"timestamp":' + _encode(message.timestamp) + seq + b"}"


def _fit(frame: bytes, message: BrokerMessage, subject: str) -> bytes:
    """The frame, or an `error` in its place if it is too large."""
    if len(frame) <= MAX_FRAME_BYTES:
        return frame
    detail: dict[str, str | int] = {"subject": subject, "size": message.payload_size}
    if message.channel is not None:
        detail["channel"] = message.channel
    if message.seq:
        detail["seq"] = message.seq
    return _encode(
        {
            "type": "error",
            "code": MessageTooLarge.code,
            "message": MessageTooLarge.title,
            "detail": detail,
        }
    )
