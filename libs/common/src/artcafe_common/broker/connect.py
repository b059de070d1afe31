"""Opens NATS connections: those of services, which wait for the broker and always reconnect, and short ones."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats.errors
import structlog
from nats.aio.client import RawCredentials

from artcafe_common.broker.claims import Credentials
from artcafe_common.broker.client import HardenedNats
from artcafe_common.broker.renewable import RenewableNats
from artcafe_common.bus.client import inbox_prefix
from artcafe_common.clock import now
from artcafe_common.settings import read_key
from artcafe_common.tls import create_tls

CONNECT_TIMEOUT_S = 3
PING_INTERVAL_S = 10
# With several servers: one that hangs is left after two of these.
CLUSTER_PING_INTERVAL_S = 0.5
MAX_PENDING_BYTES = 32 * 1024 * 1024
RETRY_PAUSE_S = 0.1
MAX_RETRY_PAUSE_S = 2.0
CREDENTIALS_INTERVAL_S = 2.0

log = structlog.get_logger()
_watchers: set["asyncio.Task[None]"] = set()


async def connect(
    url: str,
    credentials: Path,
    *,
    name: str,
    on_reconnect: Callable[[], Awaitable[None]] | None = None,
    nc: RenewableNats | None = None,
    ca_file: Path | None = None,
) -> RenewableNats:
    """Connect with the `.creds` file of a service, and wait until the broker is available.

    The connection reconnects by itself without a limit and calls `on_reconnect` each time. `nc`, if given, is the
    client object to connect. When the file has changed, the connection is renewed with it. Raises SettingsError.
    """
    nc = nc or RenewableNats()
    user = RawCredentials(read_key(credentials) + "\n")
    pause = RETRY_PAUSE_S
    while True:
        try:
            await _open(nc, url, user, name, on_reconnect, ca_file)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            log.warning("dependency_unavailable", dependency="nats", reason=repr(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_RETRY_PAUSE_S)
        else:
            watching = asyncio.create_task(_watch_credentials(nc, credentials, user))
            _watchers.add(watching)
            watching.add_done_callback(_watchers.discard)
            return nc


async def _watch_credentials(nc: RenewableNats, path: Path, user: RawCredentials) -> None:
    """Renew the connection when its `.creds` file has changed, until the connection is closed."""
    while not nc.is_closed:
        await asyncio.sleep(CREDENTIALS_INTERVAL_S)
        try:
            text = read_key(path) + "\n"
            Credentials.parse(text)
        except ValueError as error:
            log.warning("credentials_not_refreshed", file=path.name, reason=str(error))
            continue
        if text != user.data:
            # nats-py reads it at each attempt to connect.
            user.data = text
            log.info("credentials_refreshed", file=path.name)
            with suppress(nats.errors.Error, OSError, TimeoutError):
                await nc.renew()


async def _open(
    nc: RenewableNats,
    url: str,
    credentials: RawCredentials,
    name: str,
    on_reconnect: Callable[[], Awaitable[None]] | None,
    ca_file: Path | None,
) -> None:
    async def on_error(error: Exception) -> None:
        log.warning("nats_error", connection=name, reason=repr(error))

    async def on_disconnect() -> None:
        nc.lost_at = now()
        log.warning("nats_disconnected", connection=name)

    async def reconnected() -> None:
        log.info("nats_reconnected", connection=name)
        if on_reconnect is not None:
            try:
                await on_reconnect()
            except Exception:
                log.exception("reconnect_hook_failed", connection=name)

    servers = url.split(",")
    await nc.connect(
        servers=servers,
        tls=create_tls(ca_file),
        user_credentials=credentials,
        name=name,
        inbox_prefix=inbox_prefix(name),
        connect_timeout=CONNECT_TIMEOUT_S,
        max_reconnect_attempts=-1,
        ping_interval=PING_INTERVAL_S if len(servers) == 1 else CLUSTER_PING_INTERVAL_S,
        max_outstanding_pings=2 if len(servers) == 1 else 1,
        pending_size=MAX_PENDING_BYTES,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=reconnected,
    )


async def connect_once(
    servers: str | list[str], *, ca_file: Path | None = None, **options: Any
) -> HardenedNats:
    """Open a connection that does not reconnect; every server is tried once.

    Takes the options of nats-py's `connect`, and raises what it raises, and SettingsError for `ca_file`.
    """
    nc = HardenedNats()
    try:
        await nc.connect(servers, allow_reconnect=False, tls=create_tls(ca_file), **options)
    except BaseException:
        await nc.close()
        raise
    return nc
