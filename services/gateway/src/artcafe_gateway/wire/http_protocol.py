"""uvicorn's HTTP protocol with the bounds that it lacks: time and size of what a client sends.

A request passes through these states; each has one deadline, except that the server's own work has none here:

    WAITING ── first byte ──▶ HEADERS ── end of headers ──▶ BODY ── end of body ──▶ RECEIVED ── next request ──▶ HEADERS

A connection that exceeds a deadline is closed, after a response with 408 if one can still be sent.
"""

import asyncio
import enum
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from artcafe_common.bus.caller import new_request_id
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.errors import HeadersTooLarge, RequestTooSlow
from artcafe_gateway.wire.upgrades import UpgradeQueue

MAX_HEADER_BYTES = 64 * 1024
# The transport of a request, for responses that their client does not read.
HTTP_EXTENSION = "artcafe.http"
_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class _State(enum.Enum):
    WAITING = enum.auto()
    HEADERS = enum.auto()
    BODY = enum.auto()
    RECEIVED = enum.auto()


class GatewayHttpProtocol(HttpToolsProtocol):
    """Closes connections whose requests arrive too slowly or have too large headers.

    It also releases the parser of a connection that becomes a WebSocket.
    """

    def __init__(
        self, *args: Any, request_timeout_s: float, upgrades: UpgradeQueue | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._request_timeout_s = request_timeout_s
        self._upgrades = upgrades or UpgradeQueue()
        self._state = _State.WAITING
        self._header_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Line breaks between requests begin none, but stop uvicorn's timer of idle connections.
        if self._deadline is None and self._state is _State.RECEIVED and self._is_idle():
            self._start_deadline()
        super().data_received(data)
        if self._state is _State.HEADERS:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._reject(HeadersTooLarge())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {HTTP_EXTENSION: self.transport}
        self.scope["extensions"] = extensions
        self._state, self._header_bytes = _State.HEADERS, 0
        self._start_deadline()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._state = _State.BODY
        self._start_deadline()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._state = _State.RECEIVED
        self._cancel_deadline()

    def handle_websocket_upgrade(self) -> None:
        self._cancel_deadline()
        # Until then the peer waits for the response.
        self.transport.pause_reading()
        self._upgrades.add(self._upgrade)

    def _upgrade(self) -> None:
        if not self.transport.is_closing():
            super().handle_websocket_upgrade()
            self.transport.resume_reading()
        # Breaks the reference cycle with the parser.
        self.parser: Any = None

    def _start_deadline(self) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(self._request_timeout_s, self._reject, RequestTooSlow())

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _can_respond(self) -> bool:
        """Whether the next response on the connection is that of the request which is being received."""
        if self._state is _State.HEADERS:
            return self._is_idle()
        return self._state is _State.BODY and not self.pipeline and not self.cycle.response_started

    def _reject(self, error: CommandError) -> None:
        self._cancel_deadline()
        if self.transport.is_closing():
            return
        if self._can_respond():
            self.transport.write(_render(error))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def _render(error: CommandError) -> bytes:
    request_id = new_request_id()
    body = msgspec.json.encode(
        {
            "type": f"/problems/{error.code}",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": request_id,
        }
    )
    return (
        b"HTTP/1.1 %d %s\r\nconnection: close\r\ncontent-type: application/problem+json\r\n"
        b"content-length: %d\r\nx-request-id: %s\r\n\r\n%s"
    ) % (error.status, _REASONS[error.status], len(body), request_id.encode(), body)
