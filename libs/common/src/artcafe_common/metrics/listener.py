"""A minimal HTTP server for `/metrics` and `/health` of the services that have no HTTP port of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from artcafe_common.metrics.registry import CONTENT_TYPE, MetricsRegistry

MAX_REQUEST_BYTES = 8 * 1024
MAX_CONNECTIONS = 16
TIMEOUT_S = 5.0
METRICS_PATH = "/metrics"
HEALTH_PATH = "/health"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
# The status and the JSON body of a health check.
Health = Callable[[], Awaitable[tuple[int, bytes]]]
log = structlog.get_logger()


@asynccontextmanager
async def serve_metrics(
    registry: MetricsRegistry, host: str, port: int, health: Health | None = None
) -> AsyncIterator[None]:
    """Serve the metrics, and the health if it is given, while the context is entered; nothing if `port` is 0.

    A service runs without metrics when another one has its port, because messages matter more.
    """
    if not port:
        yield
        return
    try:
        server = await asyncio.start_server(
            _Listener(registry, health).serve, host, port, limit=MAX_REQUEST_BYTES
        )
    except OSError as error:
        log.warning("metrics_not_served", host=host, port=port, reason=error.strerror or str(error))
        yield
        return
    try:
        yield
    finally:
        server.close()


class _Listener:
    def __init__(self, registry: MetricsRegistry, health: Health | None) -> None:
        self._registry = registry
        self._health = health
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        self._connections += 1
        try:
            if self._connections <= MAX_CONNECTIONS:
                with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(TIMEOUT_S):
                        await self._respond(reader, writer)
        finally:
            self._connections -= 1
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        words = head.partition(b"\r\n")[0].split(b" ")
        status, body, content_type = 200, b"", CONTENT_TYPE
        path = words[1].partition(b"?")[0].decode("latin-1") if len(words) > 1 else ""
        if len(words) != 3:  # noqa: PLR2004 - method, target and version
            status = 400
        elif path != METRICS_PATH and (path != HEALTH_PATH or self._health is None):
            status = 404
        elif words[0] not in (b"GET", b"HEAD"):
            status = 405
        elif path == HEALTH_PATH and self._health is not None:
            status, body = await self._health()
            content_type = "application/json"
        else:
            body = self._registry.render()
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        writer.write("\r\n".join((*lines, "", "")).encode())
        if words[0] != b"HEAD":
            writer.write(body)
        await writer.drain()
