"""The monthly message quota of a plan."""

import json
import sys

import nats
import pytest

from artcafe_common.dev.supervisor import Program
from artcafe_common.plans import LIMITS, Plan
from support.actors import set_message_count, set_plan
from support.health import is_healthy, is_ready
from support.waiting import eventually


@pytest.fixture
async def crossings(limited_stack):
    """All published `QuotaCrossed` events."""
    nc = await nats.connect(
        limited_stack.environ()["NATS_URL"],
        user_credentials=str(limited_stack.directory / "keys/gateway.creds"),
        inbox_prefix=b"_INBOX_gateway",
    )
    events = []

    async def record(message):
        events.append(json.loads(message.data))

    await nc.subscribe("artcafe.events.quota.crossed", cb=record)
    await nc.flush()
    yield events
    await nc.close()


@pytest.fixture
async def second_metering(limited_stack):
    """A second instance of metering."""
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


async def test_monthly_quota_is_enforced_until_the_plan_changes(
    limited_stack, org, crossings, second_metering
):
    allowed = LIMITS[Plan.FREE].messages_per_month
    client, other = await org.create_client(), await org.create_client()
    channel = (await org.create_channel())["channel_id"]
    await set_plan(org, "free")
    socket, subscriber = await client.connect_websocket(), await other.connect_websocket()
    await subscriber.subscribe(subject="all")

    def percents():
        return [event["percent"] for event in crossings if event["tenant_id"] == org.id]

    await set_message_count(limited_stack, org, allowed * 8 // 10 - 1)
    await socket.send_and_receive("publish", "published", subject="all", data=0, id=1)
    await eventually(lambda: percents() == [80])
    # At 80% publishing is still possible.
    await socket.send_and_receive("publish", "published", subject="all", data=1, id=2)
    await set_message_count(limited_stack, org, allowed - 1)
    await socket.send_and_receive("publish", "published", subject="all", data=2, id=3)
    await eventually(lambda: percents() == [80, 100])
    crossed = crossings[-1]
    assert crossed["used"] >= crossed["limit"] == allowed

    async def publish_over_websocket():
        await socket.send(type="publish", subject="all", data="too many", id="x")
        return await socket.receive_any({"published", "error"}, id="x")

    async def rejected_over_websocket():
        reply = await publish_over_websocket()
        return reply if reply["type"] == "error" else None

    async def accepted_over_websocket():
        return (await publish_over_websocket())["type"] == "published"

    error = await eventually(rejected_over_websocket)
    assert error["code"] == "quota_exceeded"
    assert error["retry_after_ms"] > 0
    await socket.send(type="request", subject="all", data=1, id="r")
    assert (await socket.receive("error", id="r"))["code"] == "quota_exceeded"

    async def rejected_over_rest():
        response = await org.http.post(f"/channels/{channel}/messages", json={"n": 1})
        return response if response.status_code == 429 else None

    response = await eventually(rejected_over_rest)
    assert response.json()["code"] == "quota_exceeded"
    assert int(response.headers["Retry-After"]) > 0
    # Sockets stay open, and a restarted gateway and metering still enforce the quota.
    assert await socket.send_and_receive("ping", "pong")
    await limited_stack.supervisor.stop("metering")
    limited_stack.start("metering")
    await limited_stack.supervisor.stop("gateway")
    limited_stack.start("gateway")
    await eventually(lambda: is_ready(org), within=30)
    await eventually(lambda: is_healthy(org), within=30)
    assert (await rejected_over_rest()) is not None
    socket, subscriber = await client.connect_websocket(), await other.connect_websocket()
    await subscriber.subscribe(subject="all")
    assert await rejected_over_websocket()
    # A larger plan applies immediately, with its own thresholds.
    await set_plan(org, "basic")
    await eventually(accepted_over_websocket)
    await socket.send_and_receive("publish", "published", subject="all", data="at last", id=9)
    await eventually(lambda: any(frame["data"] == "at last" for frame in subscriber.pending("message")))
    assert percents() == [80, 100]
    await set_message_count(limited_stack, org, LIMITS[Plan.BASIC].messages_per_month * 9 // 10)
    await socket.send_and_receive("publish", "published", subject="all", data="more", id=10)
    await eventually(lambda: percents() == [80, 100, 80])

    async def all_recorded():
        logs = (await org.call("GET", "/activity/logs?type=quota", 200))["logs"]
        recorded = [(each["action"], each["metadata"]["percent"]) for each in reversed(logs)]
        return recorded == [("quota.crossed", percent) for percent in percents()]

    await eventually(all_recorded)
