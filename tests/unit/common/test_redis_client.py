"""The Redis client in each state of a real server, and with the texts of servers that cannot be had here."""

import asyncio
import contextlib
import itertools

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.cli.doctor_clocks import ClockOffsets
from artcafe_common.cli.doctor_redis import check_redis
from artcafe_common.retrying import deadline
from artcafe_common.storage import redis_client
from artcafe_common.storage.redis_client import RedisClient
from artcafe_common.storage.redis_errors import DETAILS, REFUSING_WRITES, RedisState
from support.redis_states import configured, redis_in
from support.waiting import eventually

WRITE = "return redis.call('SET', KEYS[1], ARGV[1])"
READ = "return redis.call('GET', KEYS[1])"
OOM = "OOM command not allowed when used memory > 'maxmemory'."
READONLY = "READONLY You can't write against a read only replica."
# Redis 6 wraps what a script's command replied; later servers reply with it.
WRAPPED = "ERR Error running script (call to f_4ca): @user_script:1: @user_script: 1: -{} "
APPENDED = "{} script: 4ca238f611c9d0ae4e9a75a5dbac22aedc1e44d0, on @user_script:1."


@pytest.fixture(scope="module")
async def redis_stack(new_stack):
    async with new_stack(servers=("redis",)) as stack:
        yield stack


@pytest.fixture
async def client(redis_stack, monkeypatch):
    monkeypatch.setattr(redis_client, "RETRY_PAUSE_S", 0.05)
    client = RedisClient(redis_stack.environ()["REDIS_URL"])
    await eventually(lambda: accepts(client))
    yield client
    await client.close()


async def accepts(client):
    with contextlib.suppress(StoreUnavailable):
        return await client.script(WRITE).run(["key"], ["value"], wait_for_recovery=True)


async def read(client):
    return await client.script(READ).run(["key"], [])


@pytest.mark.parametrize("state", [each for each in RedisState if each is not RedisState.REFUSED])
async def test_each_state_is_one_error_and_ends(redis_stack, client, monkeypatch, state):
    monkeypatch.setattr(redis_client, "CHECK_INTERVAL_S", 0.0)
    with capture_logs() as logs:
        async with redis_in(redis_stack, state):
            if state is RedisState.NO_SCRIPT:
                assert await read(client) == b"value"
                assert await accepts(client)
            else:
                with pytest.raises(StoreUnavailable) as raised:
                    await client.script(WRITE).run(["key"], ["value"], wait_for_recovery=True)
                assert raised.value.detail == DETAILS[state]
                assert raised.value.retry_after_s
                with pytest.raises(StoreUnavailable, match=state_words(state)):
                    await client.check()
                if state in REFUSING_WRITES:
                    assert await read(client) == b"value"
                    # Reads do not end the outage, nor are they held up.
                    assert client.state is state
        await eventually(lambda: accepts(client))
        await eventually(lambda: ended(client))
    events = [each["event"] for each in logs if each["event"].startswith("redis_")]
    # A Redis that restarts to load its data was away before and after it.
    outages = [] if state is RedisState.NO_SCRIPT else ["redis_unavailable", "redis_available"]
    assert [name for name, _ in itertools.groupby(events)] == outages
    await client.check()


def state_words(state):
    return DETAILS[state].replace("(", r"\(").replace(")", r"\)")


async def ended(client):
    await accepts(client)
    return client.state is None


async def test_caller_gets_an_error_when_its_patience_ends(redis_stack):
    client = RedisClient(redis_stack.environ()["REDIS_URL"], timeout_s=60)
    assert await accepts(client)
    async with redis_in(redis_stack, RedisState.TIMEOUT):
        with deadline(30, patience_s=0.1), pytest.raises(StoreUnavailable, match="respond"):
            await client.script(READ).run(["key"], [], wait_for_recovery=True)
    await client.close()


async def test_check_writes_at_most_once_a_second(client):
    before = await count_commands(client, "eval")
    await asyncio.gather(*(client.check() for _ in range(50)))
    assert await count_commands(client, "eval") - before == 1


async def count_commands(client, name):
    stats = await client.execute(lambda redis: redis.info("commandstats"))
    return stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]


async def test_doctor_names_the_state_and_a_remedy(redis_stack, client):
    async def result():
        (found,) = await check_redis(redis_stack.environ()["REDIS_URL"], ClockOffsets())
        return found

    assert (await result()).status == "ok"
    for state, remedy in (
        (RedisState.READ_ONLY, "replicaof no one"),
        (RedisState.OUT_OF_MEMORY, "config set maxmemory"),
        (RedisState.DISK_FAILED, "bgsave"),
    ):
        async with redis_in(redis_stack, state):
            found = await result()
            assert (found.status, DETAILS[state] in found.detail, remedy in found.remedy) == (
                "fail",
                True,
                True,
            )
    for name, value in (("maxmemory", 0), ("maxmemory-policy", "allkeys-lru")):
        async with configured(redis_stack, name, value):
            found = await result()
            assert (found.status, f"config set {name}" in found.remedy) == ("warn", True)


class FakeServer:
    """Answers every command with a text in Redis's protocol, the first `old` connections with another one."""

    def __init__(self, reply, *, old=0, old_reply=b""):
        self._replies = [old_reply] * old
        self._reply = reply
        self._tasks = set()

    @contextlib.asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        client = RedisClient(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0?protocol=2")
        try:
            yield client
        finally:
            await client.close()
            server.close()
            for task in self._tasks:
                task.cancel()

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        reply = self._replies.pop() if self._replies else self._reply
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                is_handshake = words[0].upper() in {b"CLIENT", b"HELLO", b"SELECT"}
                writer.write(b"+OK\r\n" if is_handshake else reply)
        writer.close()


@pytest.mark.parametrize("form", ["{}", WRAPPED, APPENDED], ids=["plain", "redis-6", "redis-7"])
@pytest.mark.parametrize(
    ("text", "state"),
    [
        (OOM, RedisState.OUT_OF_MEMORY),
        (READONLY, RedisState.READ_ONLY),
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to.", RedisState.DISK_FAILED),
        ("MISCONF Errors writing to the AOF file: No space left on device", RedisState.DISK_FAILED),
        ("NOREPLICAS Not enough good replicas to write.", RedisState.NO_REPLICAS),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", RedisState.NO_PRIMARY),
    ],
)  # fmt: skip
async def test_every_version_words_a_state(form, text, state):
    async with FakeServer(f"-{form.format(text)}\r\n".encode()).running() as client:
        with pytest.raises(StoreUnavailable, match=state_words(state)):
            await read(client)
        pipeline = client.pipeline()
        pipeline.get("OOM")
        with pytest.raises(StoreUnavailable, match=state_words(state)):
            await client.execute(lambda _redis: pipeline.execute())


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("LOADING Redis is loading the dataset in memory", RedisState.LOADING),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", RedisState.BUSY),
        ("NOAUTH Authentication required.", RedisState.REFUSED),
        ("NOPERM this user has no permissions to run the 'evalsha' command", RedisState.REFUSED),
        ("ERR max number of clients reached", RedisState.REFUSED),
    ],
)  # fmt: skip
async def test_server_that_serves_nothing(text, state):
    async with FakeServer(f"-{text}\r\n".encode()).running() as client:
        with pytest.raises(StoreUnavailable, match=state_words(state)):
            await read(client)


@pytest.mark.parametrize(
    "text",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR user_script:1: Script attempted to access nonexistent global variable 'OOM' script: 4ca, on @user_script:1.",
        "ERR Error running script (call to f_4ca): @user_script:1: user_script:1: MISCONF is no function",
    ],
)
async def test_fault_of_a_command_is_not_a_state(text):
    async with FakeServer(f"-{text}\r\n".encode()).running() as client:
        with pytest.raises(ResponseError):
            await read(client)
        assert client.state is None


async def test_idle_connections_to_a_former_primary_are_closed(monkeypatch):
    monkeypatch.setattr(redis_client, "RETRY_PAUSE_S", 0.05)
    server = FakeServer(b"$5\r\nvalue\r\n", old=8, old_reply=f"-{READONLY}\r\n".encode())
    async with server.running() as client:
        results = [await read_all(client)]
        assert {type(each) for each in results[0]} == {StoreUnavailable}

        async def is_back():
            results.append(await read_all(client))
            return results[-1] == [b"value"] * 8

        await eventually(is_back)


async def read_all(client):
    return await asyncio.gather(*(read(client) for _ in range(8)), return_exceptions=True)
