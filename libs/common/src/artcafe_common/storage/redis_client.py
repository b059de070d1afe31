"""A Redis client with short timeouts, for data that instances share. Logs each outage once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.exceptions
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.settings import SettingsError

# The timeout of callers that can continue without Redis, and of those that cannot. A shorter one would be exceeded
# by the delays of a busy process itself.
FAST_TIMEOUT_S = 0.5
RECOVERY_TIMEOUT_S = 1.0
# In an outage, callers that can continue without Redis fail at once for this time after each failure.
RETRY_PAUSE_S = 1.0
MAX_CONNECTIONS = 64
log = structlog.get_logger()

# Raised by the Redis client when the server cannot serve a request now.
UNAVAILABLE_ERRORS = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    OSError,
    TimeoutError,
)


class RedisClient:
    """Runs Lua scripts. Connects on first use; calls raise StoreUnavailable if Redis does not reply in time."""

    def __init__(self, url: str) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=RECOVERY_TIMEOUT_S,
                socket_timeout=RECOVERY_TIMEOUT_S,
                socket_connect_timeout=RECOVERY_TIMEOUT_S,
                # A connection that a restarted Redis has closed fails at its next use.
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise SettingsError(f"REDIS_URL is not valid: {error}") from None
        self._redis = Redis(connection_pool=pool)
        self._unavailable = False
        self._retry_at = 0.0

    def script(self, text: str) -> "Script":
        """Register a Lua script."""
        return Script(self, self._redis.register_script(text))

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def check(self) -> None:
        """Raises StoreUnavailable unless Redis replies."""
        await self.execute(self._redis.ping, wait_for_recovery=True)

    async def persistence(self) -> dict[str, Any]:
        """The section `persistence` of Redis's INFO."""
        info: dict[str, Any] = await self.execute(
            lambda: self._redis.info("persistence"), wait_for_recovery=True
        )
        return info

    async def time(self) -> float:
        """Redis's clock, in Unix seconds."""
        seconds, micros = await self.execute(self._redis.time, wait_for_recovery=True)
        return float(seconds) + float(micros) / 1e6

    async def execute(self, command: Callable[[], Awaitable[Any]], *, wait_for_recovery: bool) -> Any:
        """The result of `command()`. Without `wait_for_recovery`, fails at once during an outage."""
        if self._unavailable and not wait_for_recovery:
            if time.monotonic() < self._retry_at:
                raise StoreUnavailable("Redis did not respond")
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
        try:
            async with asyncio.timeout(RECOVERY_TIMEOUT_S if wait_for_recovery else FAST_TIMEOUT_S):
                result = await command()
        except UNAVAILABLE_ERRORS as error:
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
            if not self._unavailable:
                self._unavailable = True
                log.warning("redis_unavailable", reason=repr(error))
            raise StoreUnavailable("Redis did not respond") from error
        if self._unavailable:
            self._unavailable = False
            log.info("redis_available")
        return result


class Script:
    """A Lua script, which Redis runs atomically."""

    def __init__(self, client: RedisClient, script: Any) -> None:
        self._client = client
        self._script = script

    async def run(
        self, keys: Sequence[str], args: Sequence[str | bytes | int], *, wait_for_recovery: bool = False
    ) -> Any:
        """The script's result, with strings as bytes. Raises StoreUnavailable."""
        return await self._client.execute(
            lambda: self._script(keys=keys, args=args), wait_for_recovery=wait_for_recovery
        )
