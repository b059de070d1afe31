"""Messages and acknowledgements."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from artcafe_client.header_block import parse_headers, publishers_headers

# What `publish` and `request` accept: any JSON value that msgspec can encode. `bytes` are sent as {"base64": …},
# `msgspec.Raw` as the JSON text that it holds.
Data = Any
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NO_HEADERS: Mapping[str, str] = {}
_ENCODER = msgspec.json.Encoder()


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The acknowledgement of a message.

    `seq` is its sequence number in the channel's history, None for a plain subject. `duplicate` is true if a message
    with the same `message_id` was stored before.
    """

    seq: int | None = None
    duplicate: bool = False


class Message(msgspec.Struct, eq=False):
    """A message of a subscription.

    `subject` is its real subject, in the spelling that the subscription used; `channel` and `seq` are set for a
    channel's message. `payload` is the message as it was sent; over WebSocket, its JSON text. `sender` is the id of the
    client that published it, as the gateway verified it; None over direct NATS. `reply` is set when the sender waits for
    an answer.
    """

    subject: str
    payload: bytes
    # When the platform stored or received it, in either form.
    _time: datetime | float
    channel: str | None = None
    seq: int | None = None
    # As the transport has them, and decoded when they are asked for.
    _headers: Mapping[str, str] | bytes | None = None
    sender: str | None = None
    reply: str | None = None
    _respond: Callable[["Message", bytes], Awaitable[None]] | None = None
    _data: Any = msgspec.UNSET

    def __repr__(self) -> str:
        place = f", seq={self.seq}" if self.seq is not None else ""
        return f"Message({self.subject!r}{place})"

    @property
    def size(self) -> int:
        """The size of the payload in bytes."""
        return len(self.payload)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that the publisher has set."""
        headers = self._headers
        if isinstance(headers, bytes):
            headers = self._headers = publishers_headers(parse_headers(headers))
        return headers or _NO_HEADERS

    @property
    def data(self) -> Any:
        """The JSON value; {"base64": …} for a payload that is not JSON."""
        if self._data is msgspec.UNSET:
            try:
                self._data = msgspec.json.decode(self.payload)
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
        return msgspec.structs.replace(self, subject=subject)

    async def respond(self, data: Data) -> None:
        """Answer a request. ValueError if the sender waits for no answer."""
        if self.reply is None or self._respond is None:
            raise ValueError("the sender of this message waits for no answer")
        await self._respond(self, encode(data))


def encode(data: Data) -> bytes:
    """The JSON text of a value."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        data = {"base64": base64.b64encode(data).decode()}
    return _ENCODER.encode(data)
