"""The pools of connections to Redis: to one address, or to the primary that Sentinel names."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis.exceptions
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from artcafe_common.sentinel_url import SentinelUrl, is_sentinel_url, parse_sentinel_url
from artcafe_common.settings import SettingsError
from artcafe_common.tls import create_tls

MAX_CONNECTIONS = 64
# The next Sentinel is asked then; a call's whole deadline is some times as long.
SENTINEL_TIMEOUT_S = 0.15
ASK_INTERVAL_S = 1.0


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary; each new one asks Sentinel where it is.

    A primary that was replaced while it ran accepts writes for some seconds more, which are lost. So Sentinel is also
    asked each second, and connections to another server are not used any more.
    """

    def __init__(self, name: str, sentinel: Sentinel, **options: Any) -> None:
        super().__init__(name, sentinel, **options)  # type: ignore[no-untyped-call]
        self._asked_at = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def get_connection(self, *words: Any, **options: Any) -> Any:
        """A connection to the server that Sentinel named last."""
        now = time.monotonic()
        if now - self._asked_at >= ASK_INTERVAL_S and (self._asking is None or self._asking.done()):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask())
        connection = await super().get_connection(*words, **options)  # type: ignore[no-untyped-call]
        if self.master_address not in (None, (connection.host, connection.port)):
            try:
                await connection.disconnect()
                await connection.connect()
            except BaseException:
                await self.release(connection)
                raise
        return connection

    async def ask(self) -> None:
        """Ask Sentinel for the primary now."""
        await self.get_master_address()  # type: ignore[no-untyped-call]

    async def _ask(self) -> None:
        with suppress(redis.exceptions.RedisError, OSError):
            await self.ask()

    async def aclose(self) -> None:
        """Close all connections, also those to Sentinel."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await super().aclose()
        await self.sentinel_manager.aclose()


def create_pool(url: str, *, timeout_s: float, decode: bool, ca_file: Path | None) -> BlockingConnectionPool:
    """A pool that connects on first use. Raises SettingsError."""
    create_tls(ca_file)
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": timeout_s,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "decode_responses": decode,
        # A connection that a restarted Redis has closed fails at its next use.
        "retry": Retry(NoBackoff(), 1),
    }
    if ca_file is not None and url.startswith("rediss"):
        options["ssl_ca_certs"] = str(ca_file)
    try:
        if not is_sentinel_url(url):
            return BlockingConnectionPool.from_url(url, **options)
        target = parse_sentinel_url(url)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL is not valid: {error}") from None
    sentinel = create_sentinel(target, ca_file)
    login = {"username": target.login.username, "password": target.login.password}
    options |= {"ssl": target.tls, "db": target.database, **login}
    return SentinelPool(target.name, sentinel, **options)


async def find_primary(url: str, ca_file: Path | None) -> str:
    """The URL of the primary itself. Raises ConnectionError if no Sentinel names it, and ValueError."""
    if not is_sentinel_url(url):
        return url
    target = parse_sentinel_url(url)
    sentinel = create_sentinel(target, ca_file)
    try:
        host, port = await sentinel.discover_master(target.name)
    except redis.exceptions.RedisError as error:
        raise ConnectionError(str(error)) from None
    finally:
        await sentinel.aclose()
    user, password = (quote(text or "", safe="") for text in (target.login.username, target.login.password))
    login = f"{user}:{password}@" if password else ""
    address = f"[{host}]" if ":" in host else host
    return f"{'rediss' if target.tls else 'redis'}://{login}{address}:{port}/{target.database}"


def create_sentinel(
    target: SentinelUrl, ca_file: Path | None, *, timeout_s: float = SENTINEL_TIMEOUT_S
) -> Sentinel:
    """A client of all Sentinels, each of which has `timeout_s` to answer."""
    options: dict[str, Any] = {
        "username": target.sentinel_login.username,
        "password": target.sentinel_login.password,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "ssl": target.tls,
    }
    if target.tls and ca_file is not None:
        options["ssl_ca_certs"] = str(ca_file)
    return Sentinel(target.sentinels, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
