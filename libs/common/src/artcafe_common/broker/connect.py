"""Opens NATS connections that wait for the broker and always reconnect."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.client import RawCredentials

from artcafe_common.bus.client import inbox_prefix
from artcafe_common.settings import read_key

CONNECT_TIMEOUT_S = 3
RECONNECT_WAIT_S = 0.25
PING_INTERVAL_S = 10
MAX_PENDING_BYTES = 32 * 1024 * 1024
RETRY_PAUSE_S = 0.1
MAX_RETRY_PAUSE_S = 2.0

log = structlog.get_logger()


async def connect(
    url: str,
    credentials: Path,
    *,
    name: str,
    on_reconnect: Callable[[], Awaitable[None]] | None = None,
    nc: Nats | None = None,
) -> Nats:
    """Connect with the `.creds` file of a service, and wait until the broker is available.

    The connection reconnects by itself without a limit and calls `on_reconnect` each time. `nc`, if given, is the
    client object to connect.
    """
    nc = nc or Nats()
    user = RawCredentials(read_key(credentials) + "\n")
    pause = RETRY_PAUSE_S
    while True:
        try:
            await _open(nc, url, user, name, on_reconnect)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            log.warning("dependency_unavailable", dependency="nats", reason=repr(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_RETRY_PAUSE_S)
        else:
            return nc


async def _open(
    nc: Nats,
    url: str,
    credentials: RawCredentials,
    name: str,
    on_reconnect: Callable[[], Awaitable[None]] | None,
) -> None:
    async def on_error(error: Exception) -> None:
        log.warning("nats_error", connection=name, reason=repr(error))

    async def on_disconnect() -> None:
        log.warning("nats_disconnected", connection=name)

    async def reconnected() -> None:
        log.info("nats_reconnected", connection=name)
        if on_reconnect is not None:
            await on_reconnect()

    await nc.connect(
        servers=url.split(","),
        user_credentials=credentials,
        name=name,
        inbox_prefix=inbox_prefix(name),
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # typed int, but any number of seconds works
        max_reconnect_attempts=-1,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=2,
        pending_size=MAX_PENDING_BYTES,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=reconnected,
    )
