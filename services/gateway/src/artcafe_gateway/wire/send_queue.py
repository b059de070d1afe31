"""The send buffer of one socket."""

from collections.abc import Callable
from typing import Protocol

from uvicorn.protocols.utils import ClientDisconnected

from artcafe_gateway.wire.text_frames import text_frame
from artcafe_gateway.wire.transport import GatewayWebSocketProtocol

CLOSE_TOO_SLOW = 4408
# Of one frame; these are short.
MAX_LINES = 100


class FrameQueue(Protocol):
    """The send buffer of one connection: of a WebSocket, or of a stream of server-sent events."""

    closed: bool

    @property
    def backlog(self) -> int:
        """Unsent bytes."""

    @property
    def half_full(self) -> bool:
        """Whether senders that can wait should wait."""

    def push(self, frame: bytes) -> bool:
        """Queues a frame; False when the connection is closed, which it is after exceeding its limit."""

    def write(self, joined: bytes) -> bool:
        """Writes frames after those that are queued; False as `push`."""

    async def send_text(self, text: str) -> bool:
        """Sends one message without the queue; False when the connection is closed."""


class BufferedConnection(Protocol):
    """A connection with a send buffer."""

    @property
    def send_queue(self) -> FrameQueue:
        """What waits to be sent."""


class SendQueue:
    """The send buffer of one socket: written once per loop turn, and bounded.

    More than `limit` bytes, here and in the transport together, close the socket with 4408.
    """

    __slots__ = ("_frames", "_limit", "_lines", "_loop", "_size", "closed", "on_slow_consumer", "protocol")

    def __init__(self, protocol: GatewayWebSocketProtocol, limit: int) -> None:
        self.protocol = protocol
        self._loop = protocol.loop
        self._limit = limit
        self._frames: list[bytes] = []
        # In the batch subprotocol, the messages that follow the frames; they become one frame.
        self._lines: list[bytes] = []
        self._size = 0
        self.closed = False
        self.on_slow_consumer: Callable[[], None] | None = None

    @property
    def backlog(self) -> int:
        """Unsent bytes, here and in the transport."""
        return self._size + self.protocol.transport.get_write_buffer_size()

    @property
    def half_full(self) -> bool:
        """Whether senders that can wait should wait."""
        return self.backlog > self._limit // 2

    def push(self, frame: bytes) -> bool:
        """Queues a frame; False when the socket is closed, which it is after exceeding the limit."""
        if not self._admit(len(frame)):
            return False
        self._join_lines()
        self._frames.append(frame)
        return True

    def push_text(self, text: bytes) -> bool:
        """Queues a message, which in the batch subprotocol shares a frame with those around it; False as `push`."""
        if not self.protocol.is_batch:
            return self.push(text_frame(text))
        if not self._admit(len(text)):
            return False
        self._lines.append(text)
        if len(self._lines) >= MAX_LINES:
            self._join_lines()
        return True

    def _admit(self, size: int) -> bool:
        if self.closed or self.protocol.close_sent or self.protocol.transport.is_closing():
            return False
        if self.backlog + size > self._limit:
            self._close_slow_consumer()
            return False
        if not self._frames and not self._lines:
            self._loop.call_soon(self.flush)
        self._size += size
        return True

    def _join_lines(self) -> None:
        if self._lines:
            self._frames.append(text_frame(b"\n".join(self._lines)))
            self._lines.clear()

    def write(self, joined: bytes) -> bool:
        """Writes frames now, after those that are queued; False as `push`."""
        transport = self.protocol.transport
        if self.closed or self.protocol.close_sent or transport.is_closing():
            return False
        if self._frames or self._lines:
            self.flush()
        unsent = transport.get_write_buffer_size()
        if unsent and unsent + len(joined) > self._limit:
            self._close_slow_consumer()
            return False
        transport.write(joined)
        return True

    async def send_text(self, text: str) -> bool:
        """Sends one message with ASGI's `send`; False when the socket is closed."""
        try:
            await self.protocol.send({"type": "websocket.send", "text": text})
        except (ClientDisconnected, RuntimeError):
            return False
        return True

    def _close_slow_consumer(self) -> None:
        self.close(CLOSE_TOO_SLOW, "too_slow")
        if self.on_slow_consumer is not None:
            self.on_slow_consumer()

    def flush(self) -> None:
        """Writes the queued frames."""
        self._join_lines()
        if self._frames and not self.protocol.transport.is_closing():
            self.protocol.transport.write(b"".join(self._frames))
        self._frames.clear()
        self._size = 0

    def close(self, code: int, reason: str) -> None:
        """Closes with a code and reason; the connection is aborted if the peer does not read it. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if code == CLOSE_TOO_SLOW:
            self._frames.clear()
            self._lines.clear()
            self._size = 0
        else:
            self.flush()
        self.protocol.close_with(code, reason)
