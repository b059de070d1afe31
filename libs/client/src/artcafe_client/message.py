"""Messages and acknowledgements."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

# What `publish` and `request` accept: any JSON value that msgspec can encode. `bytes` are sent as {"base64": …},
# `msgspec.Raw` as the JSON text that it holds.
Data = Any
Responder = Callable[["Message", bytes], Awaitable[None]]
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NO_HEADERS: Mapping[str, str] = {}


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The acknowledgement of a message.

    `seq` is its sequence number in the channel's history, None for a plain subject. `duplicate` is true if a message
    with the same `message_id` was stored before.
    """

    seq: int | None = None
    duplicate: bool = False


class Message:
    """A message of a subscription.

    `subject` is its real subject, in the spelling that the subscription used; `channel` and `seq` are set for a
    channel's message. `sender` is the id of the client that published it, as the gateway verified it; None over direct
    NATS. `reply` is set when the sender waits for an answer. `timestamp` is when the platform stored or received it.
    """

    __slots__ = (
        "_data",
        "_payload",
        "_respond",
        "_time",
        "channel",
        "headers",
        "reply",
        "sender",
        "seq",
        "subject",
    )

    def __init__(
        self,
        subject: str,
        payload: "bytes | msgspec.Raw",
        *,
        time: "datetime | float",
        channel: str | None = None,
        seq: int | None = None,
        headers: Mapping[str, str] | None = None,
        sender: str | None = None,
        reply: str | None = None,
        respond: Responder | None = None,
    ) -> None:
        self.subject = subject
        self.channel = channel
        self.seq = seq
        self.headers = headers or _NO_HEADERS
        self.sender = sender
        self.reply = reply
        self._payload = payload
        self._time = time
        self._respond = respond
        self._data: Any = msgspec.UNSET

    def __repr__(self) -> str:
        place = f", seq={self.seq}" if self.seq is not None else ""
        return f"Message({self.subject!r}{place})"

    @property
    def payload(self) -> bytes:
        """The message as it was sent; over WebSocket, its JSON text."""
        return bytes(self._payload)

    @property
    def size(self) -> int:
        """The size of the payload in bytes."""
        return len(memoryview(self._payload))

    @property
    def data(self) -> Any:
        """The JSON value; {"base64": …} for a payload that is not JSON."""
        if self._data is msgspec.UNSET:
            try:
                self._data = msgspec.json.decode(self._payload)
            except _DECODE_ERRORS:
                self._data = {"base64": base64.b64encode(self.payload).decode()}
        return self._data

    @property
    def bytes(self) -> bytes:
        """The bytes of a message that was published as `bytes`. ValueError for other data."""
        data = self.data
        if isinstance(data, dict) and data.keys() == {"base64"}:
            try:
                return base64.b64decode(data["base64"], validate=True)
            except (TypeError, binascii.Error):
                pass
        raise ValueError("the message is not one of bytes")

    @property
    def timestamp(self) -> datetime:
        """When the platform stored the message, or received it."""
        if isinstance(self._time, float):
            return datetime.fromtimestamp(self._time, timezone.utc)
        return self._time

    def renamed(self, subject: str) -> "Message":
        """The same message under another spelling of its subject."""
        other = object.__new__(Message)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.subject = subject
        return other

    async def respond(self, data: Data) -> None:
        """Answer a request. ValueError if the sender waits for no answer."""
        if self.reply is None or self._respond is None:
            raise ValueError("the sender of this message waits for no answer")
        await self._respond(self, encode(data))


def encode(data: Data) -> bytes:
    """The JSON text of a value."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        data = {"base64": base64.b64encode(data).decode()}
    return msgspec.json.encode(data)
