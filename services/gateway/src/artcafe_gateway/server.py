"""Runs uvicorn inside a process that handles signals and shutdown itself."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from litestar.types import ASGIApp

from artcafe_common.settings import SettingsError
from artcafe_gateway.settings import Settings
from artcafe_gateway.wire.asgi import with_send_queue
from artcafe_gateway.wire.http_protocol import GatewayHttpProtocol
from artcafe_gateway.wire.transport import GatewayWebSocketProtocol
from artcafe_gateway.wire.upgrades import UpgradeQueue

MAX_FRAME_BYTES = 1024 * 1024
KEEP_ALIVE_S = 75
# As long as a command may take.
SHUTDOWN_S = 5


class HttpServer(uvicorn.Server):
    """uvicorn's server, which leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_accepting(self) -> None:
        """Stop listening; open connections are served further."""
        for server in self.servers:
            server.close()


@contextlib.asynccontextmanager
async def serve_http(api: ASGIApp, settings: Settings) -> AsyncIterator[HttpServer]:
    """Serve HTTP and WebSocket while the context is entered; SettingsError when the port is in use.

    On exit, requests in progress are completed, for at most SHUTDOWN_S.
    """
    direct = settings.websocket_transport == "direct"
    server = HttpServer(
        uvicorn.Config(
            with_send_queue(api),
            host=settings.host,
            port=settings.port,
            loop="none",
            http=functools.partial(  # type: ignore[arg-type] # is called
                GatewayHttpProtocol,
                request_timeout_s=settings.request_timeout_s,
                upgrades=UpgradeQueue(),
            ),
            ws=GatewayWebSocketProtocol if direct else "websockets-sansio",
            ws_max_size=MAX_FRAME_BYTES,
            # The session registry sends the pings of the direct transport, without a timer for each socket.
            ws_ping_interval=None if direct else settings.ping_interval_s,
            ws_ping_timeout=settings.ping_interval_s,
            ws_per_message_deflate=False,
            lifespan="off",
            # uvicorn's access log contains whole URLs, with the credentials in them.
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
            proxy_headers=True,
            forwarded_allow_ips=settings.parse_trusted_proxies(),
            backlog=4096,
        )
    )
    # With SO_REUSEPORT each worker has its own queue of connections on the shared port.
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.worker_count > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"ARTCAFE_HOST, ARTCAFE_PORT: cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from None
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            raise OSError(f"cannot listen on {settings.host}:{settings.port}") from task.exception()
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task
