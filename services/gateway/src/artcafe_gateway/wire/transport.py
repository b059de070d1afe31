"""The WebSocket transport: uvicorn's protocol, with direct access to its socket.

The protocol puts itself into the ASGI scope, so that all messages for a socket within a loop turn are
joined into one write. It passes text on undecoded, so that the application can answer invalid UTF-8
with an error frame.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from artcafe_gateway.wire.primitives import LightEvent, ReceiveQueue
from artcafe_gateway.wire.text_frames import TextFrameProtocol

log = structlog.get_logger()
PROTOCOL_EXTENSION = "artcafe.websocket"
ABORT_AFTER_S = 1.0
# Bytes that are processed per socket and loop turn, normally and after `pause_reading_for`.
SLICE_BYTES = 16 * 1024
FLOOD_SLICE_BYTES = 1024
CLOSE_PROTOCOL_ERROR, CLOSE_NOT_TEXT, CLOSE_TOO_LARGE = 1002, 1007, 1009
_CLOSE_REASONS: dict[int, str] = {CLOSE_TOO_LARGE: "too_large", CLOSE_NOT_TEXT: "not_text"}
_MALFORMED_REQUEST_RESPONSE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class CodedCloseProtocol(ServerProtocol):
    """websockets' protocol, with snake_case close reasons instead of sentences."""

    def fail(self, code: CloseCode | int, reason: str = "") -> None:  # noqa: ARG002 - replaced
        super().fail(code, _CLOSE_REASONS.get(code, "protocol_error"))


class GatewayWebSocketProtocol(TextFrameProtocol):
    """uvicorn's sans-I/O WebSocket protocol, with direct writes and a fast path for messages.

    `fast_path` may handle a message without waking the application; it is called only while the
    application waits for a message (`idle`), which preserves the order.
    """

    fast_path: Callable[[bytes], bool] | None = None
    idle = False
    # Whether each line of a text frame is a message.
    is_batch = False
    last_received_at = last_ping_at = 0.0
    # Received bytes that are not processed yet, from `_offset` on.
    _buffer = b""
    _offset = 0
    _paused_by_gateway = False
    # Whether the connection goes on when the application returns.
    _is_detached = False
    # Bytes that are processed per loop turn, and how long the application pauses after each of them.
    slice_bytes = SLICE_BYTES
    slice_pause_s = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn creates the connection; only the class can be replaced.
        self.conn.__class__ = CodedCloseProtocol
        self.queue: Any = ReceiveQueue()
        self.writable: Any = LightEvent()
        self._task_completed = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._release_references()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._task_completed = True
        self._release_references()

    def _release_references(self) -> None:
        # Reference cycles live until the next full garbage collection: gigabytes after a hundred thousand
        # short connections. This breaks them once the connection and the application's task have ended.
        if self._task_completed:
            self.scope.clear()  # type: ignore[attr-defined] # a TypedDict is a dict
            if self.disconnected:
                self.conn.parser.close()
                self.queue.on_item = None

    async def run_asgi(self) -> None:
        """Calls the application, and closes the connection when it has returned, unless it is detached."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            self._is_detached = False
        except BaseException:
            self._is_detached = False
            log.exception("websocket_failed")
            self.send_500_response()
        if not self.handshake_complete:
            self.send_500_response()
        if not self._is_detached and self.close_timer is None:
            self.transport.close()

    def detach(self, on_event: Callable[[], None]) -> bool:
        """Calls `on_event` with each event from now on; the application takes it with `receive_nowait`, and may return.

        True, since this transport can.
        """
        self._is_detached = self.idle = True
        self.queue.on_item = on_event
        if not self.queue.empty():
            on_event()
        return True

    def receive_nowait(self) -> Any:
        """The next event, None if there is none."""
        if self.queue.empty():
            return None
        event = self.queue.pop()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()
        return event

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        self.last_received_at = self.last_ping_at = time.monotonic()
        if scope is not None:
            scope["extensions"][PROTOCOL_EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        if self._buffer or self._paused_by_gateway:
            # The event loop had read ahead.
            self._buffer = self._buffer[self._offset :] + data
            self._offset = 0
            self.transport.pause_reading()
        elif len(data) > self.slice_bytes:
            self._buffer = data
            self.transport.pause_reading()
            self._process_buffered()
        else:
            self._receive(data)

    def _process_buffered(self) -> None:
        # One slice per loop turn, so that a socket that sends much does not delay the others.
        if self._paused_by_gateway or self.transport.is_closing():
            return
        if self._buffer:
            start, self._offset = self._offset, self._offset + self.slice_bytes
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
        """Stops reading from the peer for some time, and then reads in small slices."""
        self.slice_bytes, self.slice_pause_s = FLOOD_SLICE_BYTES, seconds
        if self._paused_by_gateway or self.transport.is_closing():
            return
        self._paused_by_gateway = True
        self.transport.pause_reading()
        self.loop.call_later(seconds, self._resume_reading)

    def _resume_reading(self) -> None:
        self._paused_by_gateway = False
        self._process_buffered()

    def release_handshake(self) -> None:
        """Releases the request and response of the handshake."""
        # The parser of the connection keeps the request itself.
        self.request.headers.clear()
        self.request: Any = None
        self.response: Any = None

    def keep_alive(self, now: float, interval_s: float) -> bool:
        """Pings the peer every `interval_s`; False when it sent nothing since the last ping."""
        if now - self.last_ping_at < interval_s or self.close_sent or self.transport.is_closing():
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
            # The headers are too long or not HTTP; uvicorn would not respond.
            self.handshake_initiated = True
            self.transport.write(_MALFORMED_REQUEST_RESPONSE)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        # As in uvicorn, without decoding.
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        self.receive_text(data)

    def receive_text(self, data: bytes) -> None:
        if self.close_sent:
            return
        if self.idle and self.fast_path is not None and self.queue.empty():
            if self.is_batch and b"\n" in data:
                data = self._handle_lines(data)
                if not data:
                    return
            elif self.fast_path(data):
                return
        self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _handle_lines(self, data: bytes) -> bytes:
        """Handles the first lines; returns those that are left for the application, since there are many or as one has to wait."""
        at, size = 0, len(data)
        while at < min(size, self.slice_bytes):
            end = data.find(b"\n", at)
            line = data[at:] if end < 0 else data[at:end]
            if line and not (self.fast_path is not None and self.fast_path(line)):
                break
            if self.close_sent:
                return b""
            at = size if end < 0 else end + 1
        return data[at:]

    async def reject_handshake(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answers the handshake with a response in place of accepting it."""
        await self.send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": body})
        # As for a handshake that is refused without a response, which uvicorn would log as an error.
        self.handshake_complete = True

    def close_with(self, code: int, reason: str) -> None:
        """Sends a close frame, and aborts the connection after 1 s if the peer does not close it. Idempotent."""
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
