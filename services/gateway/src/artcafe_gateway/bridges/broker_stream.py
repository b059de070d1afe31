"""Reads and writes the socket of one bridge's connection to the broker, without a task for each message.

nats-py reads through a stream reader and one task, and writes from another. Here the event loop calls the protocol, which
passes messages straight to their subscriptions, and what is published within a turn of the loop is one write. Every
other line goes to the client's parser as it is, in its place in the order.
"""

import asyncio
import time
from typing import Any, Protocol

import nats.errors

from artcafe_common.broker.parser import MAX_LINE_BYTES
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.delivery.read_time import ReadTime

# How long the messages of one connection may occupy the event loop before other tasks run.
MAX_TURN_S = 0.001
# The time is looked at after this many bytes.
CHECK_BYTES = 4096
_CRLF = b"\r\n"
_PONG_LINE = b"PONG\r\n"
# The words of a message's line, without a reply subject, by the operation.
_WORDS = {b"MSG": 4, b"HMSG": 5}


class Receiver(Protocol):
    """The connection that a stream belongs to."""

    # By the id, as the broker writes it.
    subscriptions: dict[bytes, BrokerSubscription]

    def is_subscribed_otherwise(self, sid: bytes) -> bool:
        """Whether the client has another subscription of this id."""

    def drop(self, error: Exception) -> None:
        """A message cannot be delivered."""

    def process_pong(self) -> None:
        """The broker answered a PING."""

    async def process_other(self, data: bytes) -> None:
        """Processes a line, or a message of another subscription; ProtocolError."""

    def write_pending(self) -> None:
        """The socket accepts data again."""


class BrokerStream(asyncio.Protocol):
    """The protocol of a connection's socket; it passes all events except received data to nats-py's own protocol."""

    def __init__(self, receiver: Receiver, transport: Any) -> None:
        self._receiver = receiver
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._original = transport.get_protocol()
        # Bytes of an incomplete line or message, and the total size at which reading can go on.
        self._waiting: list[bytes] = []
        self._waiting_bytes = self._needed = 0
        # Bytes that follow when a turn is over, or a line is being processed.
        self._rest = b""
        self._is_paused = False
        self._line: bytes | None = None
        self._wake_up: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._can_write = True
        transport.set_protocol(self)

    async def run(self, data: bytes) -> None:
        """Reads what nats-py had received, and then until the connection ends; raises why it ended."""
        try:
            self._read(data)
            while self._error is None:
                if self._line is None:
                    self._wake_up = self._loop.create_future()
                    await self._wake_up
                line, self._line = self._line, None
                if line is not None:
                    await self._receiver.process_other(line)
                    self._go_on()
            raise self._error
        finally:
            self._end(nats.errors.ConnectionClosedError())

    def write(self, data: bytes) -> bool:
        """Writes data, unless the socket accepts none now."""
        if not self._can_write or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    # -- the event loop's calls ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_paused:
            # The event loop had read ahead.
            self._rest += data
        elif self._error is None:
            self._read(data)

    def eof_received(self) -> bool | None:
        self._end(nats.errors.UnexpectedEOF())
        kept_open: bool | None = self._original.eof_received()
        return kept_open

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or nats.errors.UnexpectedEOF())
        self._original.connection_lost(exc)

    def pause_writing(self) -> None:
        self._can_write = False
        self._original.pause_writing()

    def resume_writing(self) -> None:
        self._can_write = True
        self._original.resume_writing()
        self._receiver.write_pending()

    # -- reading -------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        if self._waiting:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes < self._needed:
                return
            data = b"".join(self._waiting)
            self._waiting = []
        try:
            self._read_complete(data)
        except (nats.errors.ProtocolError, ValueError):
            self._end(nats.errors.ProtocolError())

    def _read_complete(self, data: bytes) -> None:  # noqa: C901 - a call for each message would cost more
        subscriptions, size = self._receiver.subscriptions, len(data)
        started_at, read_time, position, checked = time.monotonic(), ReadTime(), 0, 0
        while position < size:
            end = data.find(_CRLF, position)
            if end < 0:
                if size - position > MAX_LINE_BYTES:
                    raise nats.errors.ProtocolError
                self._wait(data[position:], size - position + 1)
                return
            words = data[position:end].split(b" ")
            expected = _WORDS.get(words[0])
            if expected is None or not expected <= len(words) <= expected + 1 or not words[-1].isdigit():
                if data.startswith(_PONG_LINE, position):
                    self._receiver.process_pong()
                    position += len(_PONG_LINE)
                    continue
                self._process_other(data, position, end + 2)
                return
            start = end + 2
            stop = start + int(words[-1])
            if stop + 2 > size:
                self._wait(data[position:], stop + 2 - position)
                return
            subscription = subscriptions.get(words[2])
            if subscription is not None:
                reply = words[3] if len(words) > expected else b""
                body = start + int(words[-2]) if expected == _WORDS[b"HMSG"] else start
                try:
                    subscription.receive(words[1], reply, data[body:stop], data[start:body], read_time)
                except Exception as error:  # noqa: BLE001 - costs this message only
                    self._receiver.drop(error)
            elif self._receiver.is_subscribed_otherwise(words[2]):
                self._process_other(data, position, stop + 2)
                return
            position = stop + 2
            if position - checked > CHECK_BYTES:
                checked = position
                if position < size and time.monotonic() - started_at > MAX_TURN_S:
                    self._pause(data[position:])
                    self._loop.call_soon(self._go_on)
                    return

    def _wait(self, data: bytes, needed: int) -> None:
        self._waiting, self._waiting_bytes, self._needed = [data], len(data), needed

    def _process_other(self, data: bytes, start: int, end: int) -> None:
        self._line = data[start:end]
        self._pause(data[end:])
        self._wake()

    def _pause(self, rest: bytes) -> None:
        self._rest, self._is_paused = rest, True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _go_on(self) -> None:
        rest, self._rest, self._is_paused = self._rest, b"", False
        if self._error is None and rest:
            self._read(rest)
        if not self._is_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._wake_up is not None and not self._wake_up.done():
            self._wake_up.set_result(None)
