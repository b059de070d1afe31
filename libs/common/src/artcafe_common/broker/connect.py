"""Connections to NATS that wait for the broker and never give up."""

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
PENDING_BYTES = 32 * 1024 * 1024

log = structlog.get_logger()


async def connect(
    url: str,
    credentials: Path,
    *,
    name: str,
    on_reconnect: Callable[[], Awaitable[None]] | None = None,
    nc: Nats | None = None,
) -> Nats:
    """A connection with the `.creds` file of a service, once the broker is there.

    It reconnects by itself for ever; `on_reconnect` runs after each time. `nc` is connected, if
    somebody holds it already.
    """
    nc = nc or Nats()
    secret = RawCredentials(read_key(credentials) + "\n")
    pause = 0.1
    while True:
        try:
            await _open(nc, url, secret, name, on_reconnect)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            log.warning("waiting_for", dependency="nats", reason=repr(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        else:
            return nc


async def _open(
    nc: Nats,
    url: str,
    credentials: RawCredentials,
    name: str,
    on_reconnect: Callable[[], Awaitable[None]] | None,
) -> None:
    async def problem(error: Exception) -> None:
        log.warning("nats_problem", connection=name, reason=repr(error))

    async def lost() -> None:
        log.warning("nats_disconnected", connection=name)

    async def back() -> None:
        log.info("nats_reconnected", connection=name)
        if on_reconnect is not None:
            await on_reconnect()

    await nc.connect(
        servers=url.split(","),
        user_credentials=credentials,
        name=name,
        inbox_prefix=inbox_prefix(name),
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # an int by name, any seconds in fact
        max_reconnect_attempts=-1,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=2,
        pending_size=PENDING_BYTES,
        error_cb=problem,
        disconnected_cb=lost,
        reconnected_cb=back,
    )
