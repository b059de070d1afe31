"""The monthly message quota of a plan."""

import asyncio
import json
import sys
from datetime import UTC, datetime

import nats
import pytest
from redis.asyncio import Redis

from artcafe_common.dev.supervisor import Program
from artcafe_common.plans import LIMITS, Plan
from support.actors import set_plan
from support.health import is_healthy, is_ready
from support.waiting import eventually


@pytest.fixture
async def crossings(limited_stack):
    """Every QuotaCrossed that is announced."""
    nc = await nats.connect(
        limited_stack.environ()["NATS_URL"],
        user_credentials=str(limited_stack.directory / "keys/presence.creds"),
        inbox_prefix=b"_INBOX_presence",
    )
    heard = []

    async def hear(message):
        heard.append(json.loads(message.data))

    await nc.subscribe("artcafe.events.quota.crossed", cb=hear)
    await nc.flush()
    yield heard
    await nc.close()


async def used_up(limited_stack, org, messages):
    """So many messages were published this month, as far as metering is concerned."""
    month = f"{datetime.now(UTC):%Y%m}"
    async with Redis.from_url(limited_stack.endpoints["redis"]) as redis:
        await redis.hset(f"stats:m:{month}:{org.id}", "messages", messages)


@pytest.fixture
async def second_metering(limited_stack):
    """Another instance, which sees and applies what the first one does."""
    program = Program(
        name="metering-2",
        command=[sys.executable, "-m", "artcafe_metering"],
        environ=limited_stack.environ("metering-2"),
        log=limited_stack.directory / "logs/metering-2.log",
    )
    limited_stack.supervisor.start(program)
    await eventually(lambda: program.log.exists() and '"ready"' in program.log.read_text(), within=30)
    yield
    await limited_stack.supervisor.stop(program.name)


async def test_the_months_messages_are_all_there_are(limited_stack, org, crossings, second_metering):
    allowed = LIMITS[Plan.FREE].messages_per_month
    agent, listener = await org.create_client(), await org.create_client()
    channel = (await org.create_channel())["channel_id"]
    await set_plan(org, "free")
    socket, heard = await agent.connect_websocket(), await listener.connect_websocket()
    await heard.subscribe(subject="all")
    percents = lambda: [each["percent"] for each in crossings if each["tenant_id"] == org.id]  # noqa: E731

    await used_up(limited_stack, org, allowed * 8 // 10 - 1)
    await socket.send_and_receive("publish", "published", subject="all", data=0, id=1)
    await eventually(lambda: percents() == [80])
    # Most of it is not all of it.
    await socket.send_and_receive("publish", "published", subject="all", data=1, id=2)
    await used_up(limited_stack, org, allowed - 1)
    await socket.send_and_receive("publish", "published", subject="all", data=2, id=3)
    await eventually(lambda: percents() == [80, 100])
    crossed = crossings[-1]
    assert crossed["used"] >= crossed["limit"] == allowed

    async def refused_over_websocket():
        await socket.send(type="publish", subject="all", data="too many", id="x")
        while not socket.pending("published") and not socket.pending("error"):
            await asyncio.sleep(0.01)
        error = next(iter(socket.pending("error")), None)
        socket._seen.clear()
        return error

    error = await eventually(refused_over_websocket)
    assert (error["code"], error["id"]) == ("quota_exceeded", "x")
    assert error["retry_after_ms"] > 0
    await socket.send(type="request", subject="all", data=1, id="r")
    assert (await socket.receive("error", id="r"))["code"] == "quota_exceeded"

    async def refused_over_rest():
        answer = await org.http.post(f"/channels/{channel}/messages", json={"n": 1})
        return answer if answer.status_code == 429 else None

    answer = await eventually(refused_over_rest)
    assert answer.json()["code"] == "quota_exceeded"
    assert int(answer.headers["Retry-After"]) > 0
    # Reading goes on, and a gateway or metering that starts anew knows it, too.
    assert await socket.send_and_receive("ping", "pong")
    await limited_stack.supervisor.stop("metering")
    limited_stack.start("metering")
    await limited_stack.supervisor.stop("gateway")
    limited_stack.start("gateway")
    await eventually(lambda: is_ready(org), within=30)
    await eventually(lambda: is_healthy(org), within=30)
    assert (await refused_over_rest()) is not None
    socket, heard = await agent.connect_websocket(), await listener.connect_websocket()
    await heard.subscribe(subject="all")
    assert await refused_over_websocket()
    # A larger plan lifts it at once, and its limited_stack four fifths are another matter.
    await set_plan(org, "basic")
    await eventually(lambda: _refused_no_more(refused_over_websocket))
    await socket.send_and_receive("publish", "published", subject="all", data="at last", id=9)
    await eventually(lambda: any(frame["data"] == "at last" for frame in heard.pending("message")))
    assert percents() == [80, 100]
    await used_up(limited_stack, org, LIMITS[Plan.BASIC].messages_per_month * 9 // 10)
    await socket.send_and_receive("publish", "published", subject="all", data="more", id=10)
    await eventually(lambda: percents() == [80, 100, 80])

    async def told():
        logs = (await org.call("GET", "/activity/logs?type=quota", 200))["logs"]
        seen = [(each["action"], each["metadata"]["percent"]) for each in reversed(logs)]
        return seen == [("quota.crossed", percent) for percent in percents()]

    await eventually(told)


async def _refused_no_more(attempt):
    return await attempt() is None
