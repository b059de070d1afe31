"""The WebSocket transport: uvicorn's own protocol, with direct access to its socket.

Litestar stays the router. This subclass puts itself into the ASGI scope, so that many messages
for many sockets can be joined into one write a socket and loop turn, and it hands text on
undecoded, so that bad UTF-8 is the application's to answer.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

from artcafe_gateway.wire.primitives import LightEvent, ReceiveQueue

PROTOCOL_EXTENSION = "artcafe.outbox"
CLOSE_TOO_SLOW = 4408
ABORT_AFTER_S = 1.0
# What one socket may send to be taken in one loop turn, in bytes, and what one that floods may.
SLICE = 16 * 1024
FLOOD_SLICE = 1024
CLOSE_PROTOCOL_ERROR, CLOSE_NOT_TEXT, CLOSE_TOO_LARGE = 1002, 1007, 1009
_WORDS: dict[int, str] = {CLOSE_TOO_LARGE: "too_large", CLOSE_NOT_TEXT: "not_text"}
_UNREADABLE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


def text_frame(payload: bytes) -> bytes:
    """A text frame as it goes over the wire from server to client."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


class SendQueue:
    """What waits for one socket: bounded, written once a loop turn.

    Past `limit` bytes (here and in the transport together) the socket is cut with 4408.
    """

    __slots__ = ("_frames", "_limit", "_loop", "_size", "cut", "on_slow_consumer", "protocol")

    def __init__(self, protocol: "GatewayWebSocketProtocol", limit: int) -> None:
        self.protocol = protocol
        self._loop = protocol.loop
        self._limit = limit
        self._frames: list[bytes] = []
        self._size = 0
        self.cut = False
        self.on_slow_consumer: Any = None

    @property
    def backlog(self) -> int:
        """How many bytes wait, here and in the transport."""
        return self._size + self.protocol.transport.get_write_buffer_size()

    @property
    def half_full(self) -> bool:
        """Whether whoever can wait should."""
        return self.backlog > self._limit // 2

    def push(self, framed: bytes) -> bool:
        """Add a frame; False when the socket is closed, or was cut for being too slow."""
        if self.cut or self.protocol.close_sent or self.protocol.transport.is_closing():
            return False
        if self.backlog + len(framed) > self._limit:
            self._too_slow()
            return False
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames.append(framed)
        self._size += len(framed)
        return True

    def write(self, joined: bytes) -> bool:
        """Write frames now, behind what waits; False as for `push`."""
        transport = self.protocol.transport
        if self.cut or self.protocol.close_sent or transport.is_closing():
            return False
        if self._frames:
            self.flush()
        waiting = transport.get_write_buffer_size()
        if waiting and waiting + len(joined) > self._limit:
            self._too_slow()
            return False
        transport.write(joined)
        return True

    async def send_text(self, text: str) -> bool:
        """Send one message the way ASGI does; False when the socket is gone."""
        try:
            await self.protocol.send({"type": "websocket.send", "text": text})
        except (ClientDisconnected, RuntimeError):
            return False
        return True

    def _too_slow(self) -> None:
        self.close(CLOSE_TOO_SLOW, "too_slow")
        if self.on_slow_consumer is not None:
            self.on_slow_consumer()

    def flush(self) -> None:
        """Write what waits."""
        if self._frames and not self.protocol.transport.is_closing():
            self.protocol.transport.write(b"".join(self._frames))
        self._frames.clear()
        self._size = 0

    def close(self, code: int, reason: str) -> None:
        """Say why and close; a peer that does not read is dropped after a moment."""
        if self.cut:
            return
        self.cut = True
        if code == CLOSE_TOO_SLOW:
            self._frames.clear()
            self._size = 0
        else:
            self.flush()
        self.protocol.close_with(code, reason)


class CodedCloseProtocol(ServerProtocol):
    """websockets' protocol, which closes with a word where the library has a sentence."""

    def fail(self, code: CloseCode | int, reason: str = "") -> None:  # noqa: ARG002 - it is the sentence
        super().fail(code, _WORDS.get(code, "protocol_error"))


class GatewayHttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, of which a connection that became a WebSocket keeps nothing."""

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        # The parser holds this, and this held the parser.
        self.parser: Any = None


class GatewayWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sans-I/O WebSocket protocol, opened up for the outbox.

    `fast_path` may take a message without waking the application; it is asked only while the
    application waits for one (`idle`), so that order is kept.
    """

    fast_path: Callable[[bytes], bool] | None = None
    idle = False
    last_received_at = last_ping_at = 0.0
    # What was read and not taken yet, from `_offset` on.
    _buffer = b""
    _offset = 0
    _paused_by_gateway = False
    _slice = SLICE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The connection is uvicorn's to make; only how it fails is ours.
        self.conn.__class__ = CodedCloseProtocol
        self.queue: Any = ReceiveQueue()
        self.writable: Any = LightEvent()
        self._answered = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._let_go()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._answered = True
        self._let_go()

    def _let_go(self) -> None:
        # What holds itself stays until the next look at everything, and a hundred thousand sockets
        # that come and go are gigabytes: so no circle is left when both sides are gone.
        if self.disconnected and self._answered:
            self.scope.clear()  # type: ignore[attr-defined] # a TypedDict is a dict
            self.conn.parser.close()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        self.last_received_at = self.last_ping_at = time.monotonic()
        if scope is not None:
            scope["extensions"][PROTOCOL_EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        if self._buffer or self._paused_by_gateway:
            # The loop had read ahead; the rest keeps its order.
            self._buffer = self._buffer[self._offset :] + data
            self._offset = 0
            self.transport.pause_reading()
        elif len(data) > self._slice:
            self._buffer = data
            self.transport.pause_reading()
            self._process_buffered()
        else:
            self._receive(data)

    def _process_buffered(self) -> None:
        # A socket that sends much gets one slice a loop turn, so that others are not kept waiting.
        if self._paused_by_gateway or self.transport.is_closing():
            return
        if self._buffer:
            start, self._offset = self._offset, self._offset + self._slice
            data = self._buffer[start : self._offset]
            if self._offset >= len(self._buffer):
                self._buffer, self._offset = b"", 0
            else:
                self.loop.call_soon(self._process_buffered)
            self._receive(data)
        if (
            not self._buffer
            and not self._paused_by_gateway
            and not self.read_paused
            and not self.transport.is_closing()
        ):
            self.transport.resume_reading()

    def pause_reading_for(self, seconds: float) -> None:
        """Read nothing from this peer for a while, and then little at a time."""
        self._slice = FLOOD_SLICE
        if self._paused_by_gateway or self.transport.is_closing():
            return
        self._paused_by_gateway = True
        self.transport.pause_reading()
        self.loop.call_later(seconds, self._release)

    def _release(self) -> None:
        self._paused_by_gateway = False
        self._process_buffered()

    def release_handshake(self) -> None:
        """Keep no headers of what is over."""
        self.request: Any = None
        self.response: Any = None

    def keep_alive(self, now: float, every_s: float) -> bool:
        """Ping the peer when it is time; False when nothing came since the last time."""
        if now - self.last_ping_at < every_s or self.close_sent or self.transport.is_closing():
            return True
        if self.last_received_at < self.last_ping_at:
            return False
        self.last_ping_at = now
        self.conn.send_ping(b"")
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    def _receive(self, data: bytes) -> None:
        self.last_received_at = time.monotonic()
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # Headers longer than websockets takes, or no HTTP at all: uvicorn would stay silent.
            self.handshake_initiated = True
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        # As the original, but without decoding: see the module's docstring.
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.idle and self.fast_path is not None and self.queue.empty() and self.fast_path(data):
            return
        self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def close_with(self, code: int, reason: str) -> None:
        """Send a close frame past the outbox and end the connection soon, whatever the peer does."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        try:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        except InvalidState:
            pass
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(ABORT_AFTER_S, _abort, self.transport)


def _abort(transport: asyncio.Transport) -> None:
    transport.abort()
