"""An accepted WebSocket: receiving and sending frames, error frames, closing."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from litestar import WebSocket
from litestar.connection.base import empty_receive, empty_send
from litestar.exceptions import WebSocketException

from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.gateway import SentError
from artcafe_gateway.wire.frames import Error, FrameId, Reconnect, ServerFrame
from artcafe_gateway.wire.parsing import NotJson, parse_frame, parse_frame_id
from artcafe_gateway.wire.send_queue import SendQueue
from artcafe_gateway.wire.text_frames import BATCH_PROTOCOL
from artcafe_gateway.wire.transport import CLOSE_PROTOCOL_ERROR, CLOSE_TOO_LARGE, PROTOCOL_EXTENSION

MAX_NOT_JSON = 3
MAX_RECENT_ERRORS = 10
CLOSE_UNAUTHENTICATED = 4401
CLOSE_REVOKED = 4403
CLOSE_TIMEOUT = 4408
CLOSE_NOT_JSON = 1007
CLOSE_RESTART = 1012
CLOSE_TRY_LATER = 1013
WEBSOCKET_CLOSE_CODES = {
    CLOSE_PROTOCOL_ERROR: "a malformed WebSocket frame was received",
    CLOSE_NOT_JSON: "three messages in a row were not JSON",
    CLOSE_TOO_LARGE: "a message exceeded 1 MiB",
    CLOSE_RESTART: "the gateway restarts, or the client's permissions changed: reconnect",
    CLOSE_TRY_LATER: "the gateway cannot serve the connection now: reconnect later",
    CLOSE_UNAUTHENTICATED: "the key or token is missing, invalid or expired",
    CLOSE_REVOKED: "access was revoked",
    CLOSE_TIMEOUT: "the client reads too slowly, or sent nothing for too long",
}

# After these, the peer is asked to reconnect.
RECONNECT_CODES = (CLOSE_RESTART, CLOSE_TRY_LATER)
MIN_RECONNECT_MS, RECONNECT_SPREAD_MS = 100, 1_000
_encode = msgspec.json.encode
log = structlog.get_logger()


class PeerDisconnected(Exception):
    """The connection has ended."""


class NothingReceived(Exception):
    """Nothing waits to be handled."""


class Socket:
    """One accepted WebSocket.

    `last_received_at` is the monotonic time of the last message. `close_reason` is the reason sent
    with a close by the gateway. `on_rejected` is called with each frame that is rejected, `on_error` with the code of
    each error that is sent.
    """

    __slots__ = (
        "_errors",
        "_line_at",
        "_lines",
        "_not_json_count",
        "_reconnect_sent",
        "_websocket",
        "close_reason",
        "connection_id",
        "is_batch",
        "last_received_at",
        "on_error",
        "on_rejected",
        "opened_at",
        "send_queue",
    )

    def __init__(
        self, websocket: WebSocket[Any, Any, Any], send_queue_limit: int, *, is_batch: bool = False
    ) -> None:
        protocol: Any = websocket.scope["extensions"][PROTOCOL_EXTENSION]  # type: ignore[index]
        # Whether each line of a text frame is a message.
        self.is_batch = protocol.is_batch = is_batch
        # Received lines, of which those from a position on are still to be returned.
        self._lines = b""
        self._line_at = 0
        # None while the tasks of a `FrameLoop` receive.
        self._websocket: WebSocket[Any, Any, Any] | None = websocket
        self._not_json_count = 0
        self._reconnect_sent = False
        self.connection_id = new_id()
        protocol.release_handshake()
        self.send_queue = SendQueue(protocol, send_queue_limit)
        self.last_received_at = time.monotonic()
        self.opened_at = self.last_received_at
        self.close_reason = ""
        self.on_rejected: Callable[[CommandError, Any], None] | None = None
        self.on_error: Callable[[str], None] | None = None
        # Most sockets are sent none.
        self._errors: deque[SentError] | None = None

    @property
    def recent_errors(self) -> Sequence[SentError]:
        """The last errors that were sent to the peer, oldest first."""
        return self._errors or ()

    def send(self, outgoing: ServerFrame) -> None:
        """Queues a frame."""
        self.send_queue.push_text(_encode(outgoing))

    def send_error(self, error: CommandError, frame_id: FrameId | None = None) -> None:
        """Queues an error frame."""
        retry_after_ms = None if error.retry_after_s is None else error.retry_after_s * 1000
        self.send(Error(code=error.code, message=error.detail, id=frame_id, retry_after_ms=retry_after_ms))
        if self._errors is None:
            self._errors = deque(maxlen=MAX_RECENT_ERRORS)
        self._errors.append(SentError(code=error.code, at=now()))
        if self.on_error is not None:
            self.on_error(error.code)

    def reject(self, error: CommandError, received: Any) -> None:
        """Answers a well-formed frame with an error."""
        if self.on_rejected is not None:
            self.on_rejected(error, received)
        self.send_error(error, getattr(received, "id", None))

    def send_reconnect(self, spread_ms: int = RECONNECT_SPREAD_MS) -> None:
        """Announces a close after which the peer should reconnect, within a random time of `spread_ms`. Idempotent."""
        if not self._reconnect_sent:
            self._reconnect_sent = True
            self.send(Reconnect(retry_after_ms=MIN_RECONNECT_MS + int(random.random() * spread_ms)))

    def close(self, code: int, reason: str) -> None:
        """Closes the connection; `reason` is in snake_case. A code that asks for a reconnect is announced first."""
        if not self.close_reason:
            self.close_reason = reason
        if code in RECONNECT_CODES:
            self.send_reconnect()
        self.send_queue.close(code, reason)

    def detach(self, on_event: Callable[[], None]) -> bool:
        """Whether `on_event` is called with each event from now on; then receiving raises NothingReceived, and never waits."""
        is_detached: bool = self.send_queue.protocol.detach(on_event)
        if is_detached:
            self._websocket = None
        return is_detached

    def keep_alive(self, now: float, interval_s: float) -> None:
        """Pings the peer every `interval_s`, and closes when it does not answer; call about once a second."""
        if not self.send_queue.protocol.keep_alive(now, interval_s):
            self.close(CLOSE_TIMEOUT, "ping_timeout")

    async def receive(self) -> bytes:
        """Returns the next message; PeerDisconnected."""
        while True:
            if not self._lines:
                data = await self._receive_text()
                if not self.is_batch or b"\n" not in data:
                    return data
                self._lines, self._line_at = data, 0
            line = await self._next_line()
            if line:
                return line

    async def _receive_text(self) -> bytes:
        protocol = self.send_queue.protocol
        if self._websocket is None:
            event = protocol.receive_nowait()
            if event is None:
                raise NothingReceived
        else:
            protocol.idle = True
            try:
                event = await self._websocket.receive()
            except WebSocketException as error:
                raise PeerDisconnected from error
            finally:
                protocol.idle = False
        if event["type"] == "websocket.disconnect" or self.send_queue.closed:
            raise PeerDisconnected
        self.last_received_at = time.monotonic()
        data = event.get("bytes")
        return data if isinstance(data, bytes) else b""

    async def _next_line(self) -> bytes:
        """The next line, which may be empty; other sockets are served after each slice of bytes, as for single frames."""
        start, slice_bytes = self._line_at, self.send_queue.protocol.slice_bytes
        end = self._lines.find(b"\n", start)
        if end < 0:
            line, self._lines = self._lines[start:], b""
        else:
            line, self._line_at = self._lines[start:end], end + 1
            if start // slice_bytes != end // slice_bytes:
                await asyncio.sleep(self.send_queue.protocol.slice_pause_s)
        if self.send_queue.closed:
            raise PeerDisconnected
        return line

    async def receive_frame(self, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """Returns the next well-formed frame, and answers all others with an error; PeerDisconnected."""
        while True:
            data = await self.receive()
            try:
                frame = parse_frame(decoder, data)
            except NotJson as error:
                self._not_json_count += 1
                self.send_error(error)
                if self._not_json_count >= MAX_NOT_JSON:
                    self.close(CLOSE_NOT_JSON, "not_json")
                    raise PeerDisconnected from None
            except CommandError as error:
                self._not_json_count = 0
                self.send_error(error, parse_frame_id(data))
            else:
                self._not_json_count = 0
                return frame


async def accept(
    websocket: WebSocket[Any, Any, Any], send_queue_limit: int, subprotocol: str | None = None
) -> Socket:
    """Completes the WebSocket handshake."""
    await websocket.accept(subprotocols=subprotocol)
    return Socket(websocket, send_queue_limit, is_batch=subprotocol == BATCH_PROTOCOL)


def break_reference_cycle(websocket: WebSocket[Any, Any, Any]) -> None:
    """Breaks the cycle between a closed WebSocket and the functions that Litestar wraps around it."""
    websocket.receive, websocket.send = empty_receive, empty_send


async def receive_within(timeout_s: float, receiving: Awaitable[Any]) -> Any:
    """Returns the result of a receive; PeerDisconnected when it takes too long."""
    try:
        async with asyncio.timeout(timeout_s):
            return await receiving
    except TimeoutError as error:
        raise PeerDisconnected from error
