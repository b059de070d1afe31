"""A Redis whose primary Sentinel chooses: the loss of the primary is an outage of seconds, and nothing is a 500."""

import asyncio
import signal
import time

import pytest

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.cli.doctor_clocks import ClockOffsets
from artcafe_common.cli.doctor_redis import check_redis
from artcafe_common.cli.doctor_sentinel import check_sentinels
from artcafe_common.storage.redis_client import REPLICA_PAUSE_S, RedisClient
from support.actors import User
from support.pausing import paused
from support.sentinel_stack import SentinelStack
from support.stack import running_stack
from support.waiting import eventually

# Sentinel needs 1 s to notice, and elects then; the services look for the primary each second.
FAILED_OVER_WITHIN_S = 10.0


@pytest.fixture(scope="module")
async def sentinel(tmp_path_factory):
    async with running_stack(tmp_path_factory.mktemp("sentinel"), kind=SentinelStack) as stack:
        yield stack


@pytest.fixture
async def primary(sentinel):
    """The name of the primary, which has its replica."""
    name = await eventually(sentinel.find_replicated_primary, within=30)
    yield name
    if name not in sentinel.supervisor.names:
        sentinel.start(name)
    await eventually(sentinel.find_replicated_primary, within=30)


async def usage_of(org):
    response = await org.http.get("/usage/current")
    assert response.status_code in {200, 503}, response.text
    return response.json()["messages"]["used"] if response.status_code == 200 else None


async def test_primary_is_killed(sentinel, primary):
    org = await (await User.sign_up(sentinel)).create_organization()
    await org.create_channel("news")
    publisher = await org.create_client()
    socket = await publisher.connect_websocket()
    for number in range(20):
        await publish(socket, number)
    await eventually(lambda: has_counted(org, 20))

    await sentinel.supervisor.stop(primary, how=signal.SIGKILL)
    killed_at, unavailable, number = time.monotonic(), 0.0, 20
    while time.monotonic() < killed_at + FAILED_OVER_WITHIN_S:
        # Messages and calls go on; what must be counted exactly is refused until there is a primary.
        await publish(socket, number)
        number += 1
        assert (await org.http.get("/clients")).status_code == 200
        created = await org.http.post("/clients", json={"name": f"client {number}"})
        assert created.status_code in {201, 503}, created.text
        if created.status_code == 503:
            assert created.json()["code"] == "store_unavailable"
            assert created.headers["Retry-After"]
            unavailable = time.monotonic() - killed_at
        await asyncio.sleep(0.05)
    print(f"new keys were refused for {unavailable:.1f} s")
    assert 0 < unavailable < FAILED_OVER_WITHIN_S - 2
    assert await sentinel.find_primary() != primary

    health = (await org.http.get("/health")).json()
    assert health["status"] == "ok", health
    # What was published meanwhile waited in the stream and is counted; each message once.
    await eventually(lambda: has_counted(org, number), within=20)


async def publish(socket, number):
    await socket.send(type="publish", channel="news", data=number, id=str(number))
    await socket.receive("published", within=10, id=str(number))


async def has_counted(org, number):
    return await usage_of(org) == number


async def test_primary_that_hangs_is_replaced(sentinel, primary):
    client = RedisClient(sentinel.environ()["REDIS_URL"])
    await client.check()
    async with paused(sentinel.supervisor.pid(primary)):
        with pytest.raises(StoreUnavailable):
            await client.execute(lambda redis: redis.set("key", 1))
        await eventually(lambda: accepts(client), within=FAILED_OVER_WITHIN_S)
        assert await sentinel.find_primary() != primary
    # It comes back with its old role, and nobody writes to it.
    await eventually(sentinel.find_replicated_primary, within=30)
    await client.execute(lambda redis: redis.set("key", 2))
    async with sentinel.connect_redis(await sentinel.find_primary()) as redis:
        assert await redis.get("key") == "2"
    await client.close()


async def test_what_a_replica_has_survives_the_primary(sentinel, primary):
    client = RedisClient(sentinel.environ()["REDIS_URL"], decode=True)
    (replica,) = sentinel.redis_ports.keys() - {primary}
    # A replica that hangs holds up nobody for long.
    async with paused(sentinel.supervisor.pid(replica)), asyncio.timeout(2), client.replicated():
        await client.execute(lambda redis: redis.set("counted", 0))
    await eventually(sentinel.find_replicated_primary, within=30)
    await asyncio.sleep(REPLICA_PAUSE_S)
    async with client.replicated():
        await client.execute(lambda redis: redis.set("counted", 1))
    await sentinel.supervisor.stop(primary, how=signal.SIGKILL)
    await eventually(lambda: accepts(client), within=FAILED_OVER_WITHIN_S)
    assert await client.execute(lambda redis: redis.get("counted")) == "1"
    await client.close()


async def test_doctor_reports_a_missing_replica_and_sentinels(sentinel, primary):
    url = sentinel.environ()["REDIS_URL"]
    (redis,) = await check_redis(url, ClockOffsets())
    assert (redis.status, "replicas: 1" in redis.detail, "of-sentinel" in redis.detail) == ("ok", True, False)
    await eventually(lambda: finds(url, "ok", "3 Sentinels, primary"))
    (replica,) = sentinel.redis_ports.keys() - {primary}
    await sentinel.supervisor.stop(replica)
    try:
        await eventually(lambda: finds(url, "warn", "the replica"))
        (redis,) = await check_redis(url, ClockOffsets())
        assert (redis.status, "had a replica" in redis.detail) == ("warn", True)
        for number, (status, text) in enumerate((("warn", "2 of 3 Sentinels"), ("fail", "NOQUORUM")), 2):
            await sentinel.supervisor.stop(f"sentinel-{number}")
            await eventually(lambda status=status, text=text: finds(url, status, text))
    finally:
        for name in (replica, "sentinel-2", "sentinel-3"):
            if name not in sentinel.supervisor.names:
                sentinel.start(name)
    await eventually(lambda: finds(url, "ok", "3 Sentinels, primary"), within=20)


async def finds(url, status, text):
    """Whether one of the results is as expected; each that is not ok has a remedy."""
    results = await check_sentinels(url)
    assert all(each.remedy for each in results if each.status != "ok")
    return any(each.status == status and text in each.detail for each in results)


async def test_demoted_primary_is_left(sentinel, primary):
    client = RedisClient(sentinel.environ()["REDIS_URL"])
    write = client.script("return redis.call('SET', KEYS[1], ARGV[1])")
    await write.run(["key"], ["before"])
    await sentinel.fail_over()
    await eventually(lambda: moved(sentinel, primary), within=FAILED_OVER_WITHIN_S)
    # The old primary accepts writes for seconds more; the client does not go there.
    await eventually(lambda: writes_to_primary(sentinel, write), within=3)
    await client.close()


async def writes_to_primary(sentinel, write):
    await write.run(["key"], ["after"])
    async with sentinel.connect_redis(await sentinel.find_primary()) as redis:
        return await redis.get("key") == "after"


async def moved(sentinel, primary):
    return await sentinel.find_primary() != primary


async def accepts(client):
    try:
        await client.execute(lambda redis: redis.set("key", 1))
    except StoreUnavailable:
        return False
    return True
