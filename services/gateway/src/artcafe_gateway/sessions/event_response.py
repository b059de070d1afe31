"""The response that sends a stream of server-sent events."""

from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from artcafe_common.concurrency import run_until_first
from artcafe_gateway.http.disconnection import wait_for_disconnect
from artcafe_gateway.http.request import waiting
from artcafe_gateway.sessions.event_stream import EventStreamSession
from artcafe_gateway.wire.events import MEDIA_TYPE

_HEADERS = [
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    # nginx, and proxies that follow it, pass the events on as they come.
    (b"x-accel-buffering", b"no"),
]


class EventStreamResponse(Response[None]):
    """Sends the events of a session until it is closed, or its client disconnects; then ends the session."""

    def __init__(self, session: EventStreamSession) -> None:
        super().__init__(None, media_type=MEDIA_TYPE)
        self._session = session

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _EventStream(self._session)


class _EventStream(ASGIResponse):
    def __init__(self, session: EventStreamSession) -> None:
        super().__init__()
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            with waiting(scope):
                await run_until_first(self._send_events(send), wait_for_disconnect(receive))
        finally:
            await self._session.end()

    async def _send_events(self, send: Send) -> None:
        async for chunk in self._session.socket.send_queue.chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
