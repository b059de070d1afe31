"""The outbox's way out where the server does not lend its transport: the `send` of any ASGI server.

It behaves as the direct way does, and is slower: every message is a call and an await of its own.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from artcafe_gateway.wire.transport import ABORT_AFTER_S, PROTOCOL_EXTENSION

_MEDIUM, _LONG = 126, 127


class AsgiProtocol:
    """One WebSocket: takes frames as they would go over the wire, and sends their texts in order."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = self
        self.close_sent = False
        self.idle = False
        self.fast_path: Any = None
        self.send = send
        self._receive = receive
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._ended: asyncio.Future[Any] = self.loop.create_future()
        self._last: dict[str, Any] | None = None
        self._sender = self.loop.create_task(self._run())

    # -- what the outbox asks of a transport ------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """How many bytes the server has not taken yet."""
        return self._size

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._sender.done()

    def write(self, joined: bytes) -> None:
        """Queue frames."""
        for text in unpack_text_frames(joined):
            self._waiting.append(text)
            self._size += len(text)
        self._news.set()

    def close_with(self, code: int, reason: str) -> None:
        """Close after what waits; a peer that does not read is dropped after a moment."""
        if self.close_sent:
            return
        self.close_sent = True
        self._last = {"type": "websocket.close", "code": code, "reason": reason}
        self._news.set()
        self.loop.call_later(ABORT_AFTER_S, self._sender.cancel)
        self._ended.set_result({"type": "websocket.disconnect", "code": code, "reason": reason})

    def release_handshake(self) -> None:
        """Nothing: the server keeps what it keeps."""

    def keep_alive(self, _now: float, _every_s: float) -> bool:
        """True: the server sends pings of its own."""
        return True

    def pause_reading_for(self, _seconds: float) -> None:
        """Nothing: who floods is refused message by message here."""

    # -- what the application sees ----------------------------------------------------------------

    async def receive(self) -> Any:
        """The next event, or the end that this side chose."""
        if self._ended.done():
            return self._ended.result()
        event: asyncio.Future[Any] = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait({event, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not event.done():
                event.cancel()
        if not event.done() or event.cancelled():
            return self._ended.result()
        found: Any = event.result()
        if found["type"] == "websocket.receive" and found.get("bytes") is None:
            found = {"type": "websocket.receive", "bytes": found["text"].encode()}
        return found

    async def finish(self) -> None:
        """Return when the close was sent, or could not be."""
        if not self.close_sent:
            self._sender.cancel()
        # A server that refuses to send says what `receive` says too: the peer is gone.
        await asyncio.gather(self._sender, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                text = self._waiting.popleft()
                await self.send({"type": "websocket.send", "text": text.decode(), "bytes": None})
                self._size -= len(text)
            if self._last is not None:
                await self.send(self._last)  # type: ignore[arg-type]
                return


def unpack_text_frames(joined: bytes) -> Iterator[bytes]:
    """The payloads of unmasked frames that stand one behind the other."""
    at = 0
    while at < len(joined):
        size, start = joined[at + 1], at + 2
        if size in (_MEDIUM, _LONG):
            width = 2 if size == _MEDIUM else 8
            size, start = int.from_bytes(joined[start : start + width], "big"), start + width
        at = start + size
        yield joined[start:at]


def with_send_queue(api: ASGIApp) -> ASGIApp:
    """The application, with an outbox for every WebSocket whatever server it runs under."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.WEBSOCKET or PROTOCOL_EXTENSION in (scope.get("extensions") or {}):
            await api(scope, receive, send)
            return
        protocol = AsgiProtocol(receive, send)
        scope["extensions"] = {**(scope.get("extensions") or {}), PROTOCOL_EXTENSION: protocol}  # type: ignore[dict-item]
        try:
            await api(scope, protocol.receive, send)
        finally:
            await protocol.finish()

    return app
