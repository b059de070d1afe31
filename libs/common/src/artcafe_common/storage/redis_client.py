"""The Redis client of every service: deadlines, one error for every state of Redis, and what health checks ask."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import redis.exceptions
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from artcafe_common import tracing
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.latency import CallStatistics
from artcafe_common.retrying import patience
from artcafe_common.storage.redis_errors import DETAILS, REFUSING_WRITES, RedisState, state_of
from artcafe_common.storage.redis_pool import SentinelPool, create_pool

# The timeout of callers that can continue without Redis, and of those that cannot. A shorter one would be exceeded
# by the delays of a busy process itself.
FAST_TIMEOUT_S = 0.5
RECOVERY_TIMEOUT_S = 1.0
# In an outage, callers that can continue without Redis fail at once for this time after each failure.
RETRY_PAUSE_S = 1.0
CHECK_INTERVAL_S = 1.0
# How long a write waits for a replica; without an answer, the next ones do not wait for the pause.
REPLICA_TIMEOUT_S, REPLICA_PAUSE_S = 0.5, 2.0
# Keys that Redis looks at in one step of a scan.
SCANNED_KEYS = 1000
# Reads first: a replica without its primary refuses both, a replica only writes.
_PROBE = "redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], 1, 'PX', 60000)"
_PROBE_KEY = "health:probe"
_REPLICA_KEY = "health:replica"
# In these states, the address may lead to another server by now.
_RECONNECTING = frozenset(
    {RedisState.AWAY, RedisState.TIMEOUT, RedisState.NO_PRIMARY, RedisState.READ_ONLY, RedisState.REFUSED}
)
log = structlog.get_logger()


class RedisClient:
    """Runs commands and Lua scripts. Connects on first use.

    Calls raise StoreUnavailable if Redis does not reply in time, or refuses them because of its state. Each outage is
    logged once with its state.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = RECOVERY_TIMEOUT_S,
        decode: bool = False,
        ca_file: Path | None = None,
    ) -> None:
        """With `decode`, replies are text. `timeout_s` is the deadline of callers that wait for a recovery, unless
        their patience ends before.

        `ca_file` has the authorities that are trusted besides the system's. Raises SettingsError.
        """
        pool = create_pool(url, timeout_s=timeout_s, decode=decode, ca_file=ca_file)
        self._redis = Redis(connection_pool=pool)
        self._without_replica_until = 0.0
        self._timeout_s = timeout_s
        self._state: RedisState | None = None
        self._retry_at = 0.0
        self._reconnect_at = 0.0
        self._checking = asyncio.Lock()
        self._checked_at = -CHECK_INTERVAL_S
        self._check_failure = ""
        self.statistics = CallStatistics()

    @property
    def state(self) -> RedisState | None:
        """What was wrong with Redis when it was last asked; None if nothing was."""
        return self._state

    def script(self, text: str, name: str = "execute") -> "Script":
        """Register a Lua script; `name` is its operation in metrics and traces."""
        return Script(self, text, name)

    def pipeline(self) -> Pipeline:
        """A pipeline without a transaction, whose commands `execute` runs."""
        return self._redis.pipeline(transaction=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        await self._redis.connection_pool.aclose()

    async def check(self, *, timeout_s: float = RECOVERY_TIMEOUT_S) -> None:
        """Raises StoreUnavailable unless Redis accepts a write; asks it at most once a second."""
        async with self._checking:
            if time.monotonic() - self._checked_at >= CHECK_INTERVAL_S:
                self._check_failure = await self._try_to_write(timeout_s)
                self._checked_at = time.monotonic()
        if self._check_failure:
            raise StoreUnavailable(self._check_failure)

    async def _try_to_write(self, timeout_s: float) -> str:
        try:
            async with asyncio.timeout(timeout_s):
                await self.execute(_probe, operation="check")
        except StoreUnavailable as error:
            return error.detail
        except TimeoutError:
            return DETAILS[RedisState.TIMEOUT]
        return ""

    async def info(self, section: str) -> dict[str, Any]:
        """A section of Redis's INFO."""
        info: dict[str, Any] = await self.execute(lambda client: client.info(section))
        return info

    async def time(self) -> float:
        """Redis's clock, in Unix seconds."""
        seconds, micros = await self.execute(lambda client: client.time())
        return float(seconds) + float(micros) / 1e6

    async def scan(self, pattern: str) -> AsyncIterator[list[Any]]:
        """The keys that match a pattern, in batches, each at least once. For rare work: Redis looks at all its keys."""

        async def step(client: Redis) -> tuple[int, list[Any]]:
            return await client.scan(cursor, match=pattern, count=SCANNED_KEYS)

        cursor = 0
        while True:
            cursor, keys = await self.execute(step, operation="scan")
            if keys:
                yield keys
            if not cursor:
                return

    async def scan_hashes(self, pattern: str, field: str, value: str) -> AsyncIterator[list[Any]]:
        """Those of the keys of `scan` whose hashes have a value in a field; for a client that decodes."""
        pipeline = self.pipeline()
        async for keys in self.scan(pattern):
            for key in keys:
                pipeline.hget(key, field)
            values = await self.execute(lambda _client: pipeline.execute(), operation="scan")
            if found := [key for key, each in zip(keys, values, strict=True) if each == value]:
                yield found

    @asynccontextmanager
    async def replicated(self) -> AsyncIterator[None]:
        """What is written in this context survives a failover; StoreUnavailable at its end if it may not.

        It waits for a replica, or for REPLICA_TIMEOUT_S if the primary has none. Without Sentinels it does nothing.
        """
        pool = self._redis.connection_pool
        if not isinstance(pool, SentinelPool):
            yield
            return
        primary = pool.master_address
        yield
        if not await self._has_replica():
            await self.execute(lambda _client: pool.ask(), operation="wait")
        # A primary that was replaced answers for some time, and what it wrote is lost.
        if primary not in (None, pool.master_address):
            raise StoreUnavailable(DETAILS[RedisState.NO_PRIMARY])

    async def _has_replica(self) -> bool:
        """Whether a replica has what was written so far; it is not asked again soon after one did not answer."""
        if time.monotonic() < self._without_replica_until:
            return False
        # WAIT is for the writes of its connection; the log of changes is one, so a later write stands for all earlier ones.
        pipeline = self.pipeline()
        pipeline.set(_REPLICA_KEY, 1, px=60_000)
        pipeline.execute_command("WAIT", 1, int(REPLICA_TIMEOUT_S * 1000))
        _, replicas = await self.execute(lambda _client: pipeline.execute(), operation="wait")
        if not replicas:
            self._without_replica_until = time.monotonic() + REPLICA_PAUSE_S
            log.warning("redis_without_replica")
        return bool(replicas)

    async def unlink(self, *keys: str) -> None:
        """Remove keys, if they exist."""
        await self.execute(lambda client: client.unlink(*keys))

    async def execute(
        self,
        command: Callable[[Redis], Awaitable[Any]],
        *,
        operation: str = "execute",
        wait_for_recovery: bool = True,
    ) -> Any:
        """The result of `command(client)`. Without `wait_for_recovery`, fails at once during an outage."""
        started_at, outcome = time.perf_counter(), "error"
        name = "redis" if operation == "execute" else f"redis {operation}"
        try:
            with tracing.child(name, db_system_name="redis"):
                result = await self._execute(command, wait_for_recovery=wait_for_recovery)
            outcome = "ok"
            return result
        finally:
            self.statistics.record(operation, outcome, time.perf_counter() - started_at)

    async def _execute(self, command: Callable[[Redis], Awaitable[Any]], *, wait_for_recovery: bool) -> Any:
        # A Redis that refuses writes says so at once, and still serves reads.
        if self._state is not None and self._state not in REFUSING_WRITES and not wait_for_recovery:
            if time.monotonic() < self._retry_at:
                raise StoreUnavailable(DETAILS[self._state])
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
        try:
            async with asyncio.timeout(
                min(self._timeout_s, patience()) if wait_for_recovery else FAST_TIMEOUT_S
            ):
                result = await command(self._redis)
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            state = state_of(error)
            if state is None:
                raise
            await self._on_failure(state, error)
            raise StoreUnavailable(DETAILS[state]) from error
        if self._state is not None:
            await self._on_success()
        return result

    async def _on_failure(self, state: RedisState, error: BaseException) -> None:
        now = time.monotonic()
        self._retry_at = now + RETRY_PAUSE_S
        if state is not self._state:
            self._state = state
            log.warning("redis_unavailable", state=state.value, reason=repr(error))
        if state in _RECONNECTING and now >= self._reconnect_at:
            self._reconnect_at = now + RETRY_PAUSE_S
            with suppress(redis.exceptions.RedisError, OSError):
                await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def _on_success(self) -> None:
        if self._state in REFUSING_WRITES:
            # That a read succeeded does not tell whether a write would.
            if time.monotonic() < self._retry_at:
                return
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
            try:
                async with asyncio.timeout(FAST_TIMEOUT_S):
                    await _probe(self._redis)
            except (redis.exceptions.RedisError, OSError, TimeoutError):
                return
        self._state = None
        log.info("redis_available")


class Script:
    """A Lua script, which Redis runs atomically."""

    def __init__(self, client: RedisClient, text: str, name: str) -> None:
        self._client = client
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._name = name

    async def run(
        self, keys: Sequence[str], args: Sequence[str | bytes | int], *, wait_for_recovery: bool = False
    ) -> Any:
        """The script's result. Raises StoreUnavailable."""

        async def evaluate(client: Redis) -> Any:
            try:
                return await client.evalsha(self._digest, len(keys), *keys, *args)
            except redis.exceptions.NoScriptError:
                # One command, so that a Redis that restarts again cannot lose the script before it runs.
                return await client.eval(self._text, len(keys), *keys, *args)

        return await self._client.execute(evaluate, operation=self._name, wait_for_recovery=wait_for_recovery)


async def _probe(client: Redis) -> None:
    await client.eval(_PROBE, 1, _PROBE_KEY)
