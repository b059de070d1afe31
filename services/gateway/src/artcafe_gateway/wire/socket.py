"""What every WebSocket of the gateway has: an outbox, an identity, a clock, a clean end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from litestar import WebSocket
from litestar.connection.base import empty_receive, empty_send
from litestar.exceptions import WebSocketException

from artcafe_common.bus.errors import CommandError, InternalError
from artcafe_common.clock import new_id
from artcafe_gateway.wire.frames import Error, FrameId, ServerFrame
from artcafe_gateway.wire.parsing import NotJson, id_of, parse
from artcafe_gateway.wire.transport import (
    CLOSE_PROTOCOL_ERROR,
    CLOSE_TOO_LARGE,
    PROTOCOL_EXTENSION,
    SendQueue,
    text_frame,
)

MAX_NOT_JSON = 3
CLOSE_UNAUTHENTICATED = 4401
CLOSE_REVOKED = 4403
CLOSE_TIMEOUT = 4408
CLOSE_NOT_JSON = 1007
CLOSE_RESTART = 1012
CLOSE_TRY_LATER = 1013
# Every code that a socket is closed with, and what it is told by.
WEBSOCKET_CLOSE_CODES = {
    CLOSE_PROTOCOL_ERROR: "what came is no WebSocket frame",
    CLOSE_NOT_JSON: "three frames in a row were no JSON",
    CLOSE_TOO_LARGE: "a frame over 1 MiB",
    CLOSE_RESTART: "the gateway restarts, or permissions changed: connect again",
    CLOSE_TRY_LATER: "not now: connect again later",
    CLOSE_UNAUTHENTICATED: "the key or token does not hold",
    CLOSE_REVOKED: "revoked",
    CLOSE_TIMEOUT: "too slow, or silent for too long",
}

_encode = msgspec.json.encode
log = structlog.get_logger()


class PeerDisconnected(Exception):
    """The peer is no longer there."""


class Socket:
    """One accepted WebSocket.

    `last_received_at` is the loop time at which the peer last sent anything; `close_reason` the word
    that a close by us bore; `on_rejected` hears of each frame that is turned down.
    """

    __slots__ = (
        "_not_json",
        "_socket",
        "close_reason",
        "connection_id",
        "last_received_at",
        "on_rejected",
        "opened_at",
        "send_queue",
    )

    def __init__(self, socket: WebSocket[Any, Any, Any], limit: int) -> None:
        protocol: Any = socket.scope["extensions"][PROTOCOL_EXTENSION]  # type: ignore[index]
        self._socket = socket
        self._not_json = 0
        self.connection_id = new_id()
        protocol.release_handshake()
        self.send_queue = SendQueue(protocol, limit)
        self.last_received_at = time.monotonic()
        self.opened_at = self.last_received_at
        self.close_reason = ""
        self.on_rejected: Callable[[CommandError, Any], None] | None = None

    def send(self, outgoing: ServerFrame) -> None:
        """Queue a frame."""
        self.send_queue.push(text_frame(_encode(outgoing)))

    def send_error(self, error: CommandError, frame_id: FrameId | None = None) -> None:
        """Queue an error frame."""
        retry = None if error.retry_after_s is None else error.retry_after_s * 1000
        self.send(Error(code=error.code, message=error.detail, id=frame_id, retry_after_ms=retry))

    def reject(self, error: CommandError, received: Any) -> None:
        """Refuse a frame that was understood."""
        if self.on_rejected is not None:
            self.on_rejected(error, received)
        self.send_error(error, getattr(received, "id", None))

    def close(self, code: int, reason: str) -> None:
        """End the connection; `reason` is a word."""
        if not self.close_reason:
            self.close_reason = reason
        self.send_queue.close(code, reason)

    def keep_alive(self, now: float, every_s: float) -> None:
        """Called about once a second: ping now and then, and end what no longer answers."""
        if not self.send_queue.protocol.keep_alive(now, every_s):
            self.close(CLOSE_TIMEOUT, "ping_timeout")

    async def receive(self) -> bytes:
        """The next message's bytes; Gone when the connection ended."""
        protocol = self.send_queue.protocol
        protocol.idle = True
        try:
            event = await self._socket.receive()
        except WebSocketException as error:
            raise PeerDisconnected from error
        finally:
            protocol.idle = False
        if event["type"] == "websocket.disconnect" or self.send_queue.cut:
            raise PeerDisconnected
        self.last_received_at = time.monotonic()
        data = event.get("bytes")
        return data if isinstance(data, bytes) else b""

    async def receive_frame(self, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """The next well-formed frame; anything else is answered with an error, and the next awaited."""
        while True:
            data = await self.receive()
            try:
                found = parse(decoder, data)
            except NotJson as error:
                self._not_json += 1
                self.send_error(error)
                if self._not_json >= MAX_NOT_JSON:
                    self.close(CLOSE_NOT_JSON, "not_json")
                    raise PeerDisconnected from None
            except CommandError as error:
                self._not_json = 0
                self.send_error(error, id_of(data))
            else:
                self._not_json = 0
                return found

    async def serve_frames(
        self, decoder: "msgspec.json.Decoder[Any]", answer: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer well-formed frames until the connection ends; a refusal never ends it."""
        while True:
            try:
                received = await self.receive_frame(decoder)
            except PeerDisconnected:
                return
            try:
                await answer(received)
            except CommandError as error:
                self.reject(error, received)
            except Exception:
                log.exception("frame_failed", frame=type(received).__name__)
                self.send_error(InternalError(), getattr(received, "id", None))


async def accept(socket: WebSocket[Any, Any, Any], limit: int, subprotocol: str | None = None) -> Socket:
    """Complete the handshake of HTTP."""
    await socket.accept(subprotocols=subprotocol)
    return Socket(socket, limit)


def break_reference_cycle(socket: WebSocket[Any, Any, Any]) -> None:
    """Break the circle of a WebSocket that is over and the functions that Litestar wraps around it."""
    socket.receive, socket.send = empty_receive, empty_send


async def receive_within(seconds: float, receiving: Any) -> Any:
    """The result of a receive, or Gone when it takes too long."""
    try:
        async with asyncio.timeout(seconds):
            return await receiving
    except TimeoutError as error:
        raise PeerDisconnected from error
