"""A Redis that instances share for what must not slow a request: short deadlines, one log line an outage."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import redis.exceptions
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.settings import SettingsError

# For whoever goes on without an answer, and for whoever cannot. The short one is waited for once an
# outage; shorter, and a process that is busy itself would take its own delay for Redis's.
FAST_TIMEOUT_S = 0.5
RECOVERY_TIMEOUT_S = 1.0
# How long those who go on without an answer do not ask again.
RETRY_PAUSE_S = 1.0
CONNECTIONS = 64
log = structlog.get_logger()

_UNAVAILABLE = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    OSError,
    TimeoutError,
)


class RedisClient:
    """Runs scripts; StoreUnavailable when Redis does not answer in time. It need not be there yet."""

    def __init__(self, url: str) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=RECOVERY_TIMEOUT_S,
                socket_timeout=RECOVERY_TIMEOUT_S,
                socket_connect_timeout=RECOVERY_TIMEOUT_S,
                # A connection that a restarted Redis has closed is found out by using it.
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise SettingsError(f"REDIS_URL is not valid: {error}") from None
        self._redis = Redis(connection_pool=pool)
        self._away = False
        self._retry_at = 0.0

    def script(self, text: str) -> "Script":
        """A Lua script that can be run."""
        return Script(self, self._redis.register_script(text))

    async def close(self) -> None:
        """Leave Redis."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def check(self) -> None:
        """StoreUnavailable unless Redis answers."""
        await self.execute(self._redis.ping, wait_for_recovery=True)

    async def persistence(self) -> dict[str, Any]:
        """What Redis tells of how it keeps its data (INFO)."""
        found: dict[str, Any] = await self.execute(
            lambda: self._redis.info("persistence"), wait_for_recovery=True
        )
        return found

    async def time(self) -> float:
        """Redis's clock, in Unix seconds."""
        seconds, micros = await self.execute(self._redis.time, wait_for_recovery=True)
        return float(seconds) + float(micros) / 1e6

    async def execute(self, question: Any, *, wait_for_recovery: bool) -> Any:
        """What `question()` answers; the impatient are not let wait for one who was away a moment ago."""
        if self._away and not wait_for_recovery:
            if time.monotonic() < self._retry_at:
                raise StoreUnavailable("Redis did not answer")
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
        try:
            async with asyncio.timeout(RECOVERY_TIMEOUT_S if wait_for_recovery else FAST_TIMEOUT_S):
                answer = await question()
        except _UNAVAILABLE as error:
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
            if not self._away:
                self._away = True
                log.warning("redis_away", reason=repr(error))
            raise StoreUnavailable("Redis did not answer") from error
        if self._away:
            self._away = False
            log.info("redis_back")
        return answer


class Script:
    """One Lua script; it happens whole, and for all instances one after the other."""

    def __init__(self, shared: RedisClient, script: Any) -> None:
        self._shared = shared
        self._script = script

    async def run(
        self, keys: Sequence[str], args: Sequence[str | bytes | int], *, wait_for_recovery: bool = False
    ) -> Any:
        """What the script returns, texts as bytes."""
        return await self._shared.execute(
            lambda: self._script(keys=keys, args=args), wait_for_recovery=wait_for_recovery
        )
