"""Brings a real Redis into each state in which it cannot serve requests, and back."""

import asyncio
import contextlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from artcafe_common.dev.supervisor import Program
from artcafe_common.storage.redis_errors import RedisState
from support.pausing import paused
from support.waiting import eventually

# Nothing listens there.
NO_PRIMARY_ADDRESS = ("127.0.0.1", 1)
# The server delays each key while it loads, and serves clients in between.
LOAD_DELAY_MICROSECONDS = 2_000
LOADED_KEYS = 5_000


def redis_in(stack, state):
    """A context in which the Redis of a stack is in a state."""
    return _PRODUCERS[state](stack)


@contextlib.asynccontextmanager
async def _operator(stack):
    redis = Redis.from_url(stack.environ()["REDIS_URL"], decode_responses=True, socket_timeout=5)
    try:
        yield redis
    finally:
        await redis.aclose()


@contextlib.asynccontextmanager
async def _away(stack):
    await stack.supervisor.stop("redis")
    try:
        yield
    finally:
        stack.start("redis")


@contextlib.asynccontextmanager
async def _timeout(stack):
    async with paused(stack.supervisor.pid("redis")):
        yield


@contextlib.asynccontextmanager
async def _loading(stack):
    async with _operator(stack) as redis:
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(LOADED_KEYS):
                pipeline.set(f"load:{number}", "x" * 100, ex=60)
            await pipeline.execute()
        # The delays apply to a snapshot, not to the commands after it.
        await redis.bgrewriteaof()
        await eventually(lambda: _rewritten(redis))
    await stack.supervisor.stop("redis")
    command = [
        *stack._server_command("redis"),
        *(
            "--key-load-delay",
            str(LOAD_DELAY_MICROSECONDS),
            "--loading-process-events-interval-bytes",
            "1024",
        ),
    ]
    log = stack.directory / "logs/redis.log"
    stack.supervisor.start(Program(name="redis", command=command, environ=stack.environ(), log=log))
    try:
        async with _operator(stack) as redis:
            await eventually(lambda: _is_loading(redis))
            yield
    finally:
        await stack.supervisor.stop("redis")
        stack.start("redis")


async def _rewritten(redis):
    info = await redis.info("persistence")
    return not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]


async def _is_loading(redis):
    with contextlib.suppress(RedisError, OSError):
        return (await redis.info("persistence"))["loading"]


@contextlib.asynccontextmanager
async def _busy(stack):
    async with _operator(stack) as redis:
        await redis.config_set("busy-reply-threshold", 10)
        script = asyncio.create_task(redis.eval("while true do end", 0))
        try:
            await eventually(lambda: _refuses(redis, "BUSY"))
            yield
        finally:
            await redis.script_kill()
            await asyncio.gather(script, return_exceptions=True)
            await redis.config_set("busy-reply-threshold", 5000)


async def _refuses(redis, word):
    try:
        await redis.ping()
    except RedisError as error:
        return word in str(error)
    return False


@contextlib.asynccontextmanager
async def _replica(stack, **settings):
    async with _operator(stack) as redis:
        for name, value in settings.items():
            await redis.config_set(name.replace("_", "-"), value)
        await redis.replicaof(*NO_PRIMARY_ADDRESS)
        try:
            yield
        finally:
            await redis.replicaof("NO", "ONE")


def _no_primary(stack):
    return _replica(stack, replica_serve_stale_data="no")


def _read_only(stack):
    return _replica(stack, replica_serve_stale_data="yes")


@contextlib.asynccontextmanager
async def configured(stack, name, value):
    """A parameter of the Redis of a stack has another value."""
    async with _operator(stack) as redis:
        before = (await redis.config_get(name))[name]
        await redis.config_set(name, value)
        try:
            yield
        finally:
            await redis.config_set(name, before)


def _out_of_memory(stack):
    return configured(stack, "maxmemory", 1)


def _no_replicas(stack):
    return configured(stack, "min-replicas-to-write", 1)


@contextlib.asynccontextmanager
async def _disk_failed(stack):
    # A directory in the place of the snapshot, which cannot be replaced even by root.
    snapshot = stack.directory / "data/redis/dump.rdb"
    async with _operator(stack) as redis:
        snapshot.unlink(missing_ok=True)
        snapshot.mkdir()
        await _save(redis, "err")
        try:
            yield
        finally:
            snapshot.rmdir()
            await _save(redis, "ok")


async def _save(redis, result):
    async def saved():
        with contextlib.suppress(RedisError):  # another save is in progress
            await redis.bgsave()
        return (await redis.info("persistence"))["rdb_last_bgsave_status"] == result

    await eventually(saved)


@contextlib.asynccontextmanager
async def _no_script(stack):
    async with _operator(stack) as redis:
        await redis.script_flush()
        yield


_PRODUCERS = {
    RedisState.AWAY: _away,
    RedisState.TIMEOUT: _timeout,
    RedisState.LOADING: _loading,
    RedisState.BUSY: _busy,
    RedisState.NO_PRIMARY: _no_primary,
    RedisState.NO_SCRIPT: _no_script,
    RedisState.READ_ONLY: _read_only,
    RedisState.OUT_OF_MEMORY: _out_of_memory,
    RedisState.DISK_FAILED: _disk_failed,
    RedisState.NO_REPLICAS: _no_replicas,
}
