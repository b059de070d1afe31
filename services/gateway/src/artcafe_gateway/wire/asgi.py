"""The WebSocket transport for any ASGI server: frames are sent with ASGI's `send`.

It behaves as `GatewayWebSocketProtocol`, and is slower: it awaits one call per message.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from artcafe_gateway.wire.transport import ABORT_AFTER_S, PROTOCOL_EXTENSION, SLICE_BYTES

CLOSE_POLICY_VIOLATION = 1008
# A server with this extension of ASGI can answer a handshake with a response.
RESPONSE_EXTENSION = "websocket.http.response"
# Length bytes that announce an extended length of 2 or 8 bytes (RFC 6455, section 5.2).
_LENGTH_16_BIT, _LENGTH_64_BIT = 126, 127


class AsgiProtocol:
    """One WebSocket: accepts encoded frames, and sends their texts in order."""

    def __init__(self, receive: Receive, send: Send, *, can_respond: bool = False) -> None:
        self._can_respond = can_respond
        self.loop = asyncio.get_running_loop()
        self.transport = self
        self.close_sent = False
        self.idle = False
        self.fast_path: Any = None
        self.is_batch = False
        self.slice_bytes, self.slice_pause_s = SLICE_BYTES, 0.0
        self.send = send
        self._receive = receive
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake_sender = asyncio.Event()
        self._disconnect_event: asyncio.Future[Any] = self.loop.create_future()
        self._close_event: dict[str, Any] | None = None
        self._sender = self.loop.create_task(self._run())

    # -- the interface of GatewayWebSocketProtocol and its transport ------------------------------

    def get_write_buffer_size(self) -> int:
        """Bytes that were not passed to the server yet."""
        return self._queued_bytes

    def is_closing(self) -> bool:
        """Whether sending has ended."""
        return self._sender.done()

    def write(self, joined: bytes) -> None:
        """Queues encoded frames."""
        for text in unpack_text_frames(joined):
            self._queue.append(text)
            self._queued_bytes += len(text)
        self._wake_sender.set()

    def close_with(self, code: int, reason: str) -> None:
        """Closes after the queued frames; gives up after 1 s if the peer does not read. Idempotent."""
        if self.close_sent:
            return
        self.close_sent = True
        self._close_event = {"type": "websocket.close", "code": code, "reason": reason}
        self._wake_sender.set()
        self.loop.call_later(ABORT_AFTER_S, self._sender.cancel)
        self._disconnect_event.set_result({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def reject_handshake(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answers the handshake with a response, or refuses it without one if the server cannot."""
        self._sender.cancel()
        if self._can_respond:
            await self.send({"type": "websocket.http.response.start", "status": status, "headers": headers})
            await self.send({"type": "websocket.http.response.body", "body": body, "more_body": False})
        else:
            await self.send({"type": "websocket.close", "code": CLOSE_POLICY_VIOLATION, "reason": ""})

    def release_handshake(self) -> None:
        """Does nothing: the handshake belongs to the server."""

    def detach(self, _on_event: Any) -> bool:
        """False: the server closes the connection when the application returns."""
        return False

    def keep_alive(self, _now: float, _interval_s: float) -> bool:
        """True: the server sends pings."""
        return True

    def pause_reading_for(self, _seconds: float) -> None:
        """Does nothing: excess messages are rejected one by one."""

    # -- the application's interface --------------------------------------------------------------

    async def receive(self) -> Any:
        """Returns the next event; the disconnect event after a close by the gateway."""
        if self._disconnect_event.done():
            return self._disconnect_event.result()
        event: asyncio.Future[Any] = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({event, self._disconnect_event}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not event.done():
                event.cancel()
        if not event.done() or event.cancelled():
            return self._disconnect_event.result()
        received: Any = event.result()
        if received["type"] == "websocket.receive" and received.get("bytes") is None:
            received = {"type": "websocket.receive", "bytes": received["text"].encode()}
        return received

    async def finish(self) -> None:
        """Returns once the close was sent, or cannot be."""
        if not self.close_sent:
            self._sender.cancel()
        # `send` fails when the peer has disconnected, which `receive` reports.
        await asyncio.gather(self._sender, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake_sender.wait()
            self._wake_sender.clear()
            while self._queue:
                text = self._queue.popleft()
                await self.send({"type": "websocket.send", "text": text.decode(), "bytes": None})
                self._queued_bytes -= len(text)
            if self._close_event is not None:
                await self.send(self._close_event)  # type: ignore[arg-type]
                return


def unpack_text_frames(joined: bytes) -> Iterator[bytes]:
    """The payloads of consecutive unmasked frames."""
    at = 0
    while at < len(joined):
        size, start = joined[at + 1], at + 2
        if size in (_LENGTH_16_BIT, _LENGTH_64_BIT):
            width = 2 if size == _LENGTH_16_BIT else 8
            size, start = int.from_bytes(joined[start : start + width], "big"), start + width
        at = start + size
        yield joined[start:at]


def with_send_queue(api: ASGIApp) -> ASGIApp:
    """Wraps the application so that each WebSocket has a transport for `SendQueue` under any server."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.WEBSOCKET or PROTOCOL_EXTENSION in (scope.get("extensions") or {}):
            await api(scope, receive, send)
            return
        extensions = scope.get("extensions") or {}
        protocol = AsgiProtocol(receive, send, can_respond=RESPONSE_EXTENSION in extensions)
        scope["extensions"] = {**extensions, PROTOCOL_EXTENSION: protocol}  # type: ignore[dict-item]
        try:
            await api(scope, protocol.receive, send)
        finally:
            await protocol.finish()

    return app
