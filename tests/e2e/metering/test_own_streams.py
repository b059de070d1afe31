"""The plan's numbers of streams that clients create themselves."""

import contextlib

import nats.errors
import pytest
from nats.js.api import ConsumerConfig, StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError

from artcafe_common.plans import LIMITS, Plan
from support.actors import set_plan
from support.waiting import eventually

BASIC = LIMITS[Plan.BASIC]
MANAGE = {"publish": [">"], "subscribe": [">"], "streams": "manage"}


async def test_streams_consumers_and_storage_are_within_the_plan(org):
    client = await org.create_client(permissions=MANAGE)
    js = (await client.connect_nats()).jetstream()
    await set_plan(org, "basic")
    names = [f"S{number}" for number in range(BASIC.own_streams)]
    for name in names:
        await js.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"]))
    with pytest.raises(JetStreamError):
        await js.add_stream(StreamConfig(name="MORE", subjects=["more.>"]))
    for number in range(BASIC.own_stream_consumers):
        await js.add_consumer(names[0], ConsumerConfig(durable_name=f"c{number}"))
    with pytest.raises(JetStreamError):
        await js.add_consumer(names[0], ConsumerConfig(durable_name="more"))
    await js.delete_stream(names[0])
    with pytest.raises(JetStreamError):
        await js.add_stream(StreamConfig(name="RAM", subjects=["ram.>"], storage=StorageType.MEMORY))
    with pytest.raises(JetStreamError):
        await js.add_stream(
            StreamConfig(name="LARGE", subjects=["large.>"], max_bytes=BASIC.own_storage_bytes + 1)
        )
    # The platform's own streams of the organization do not count, and a larger plan applies at once.
    channel = (await org.create_channel())["channel_id"]
    await org.call("POST", f"/channels/{channel}/messages", 202, json={"n": 1})
    await js.add_stream(StreamConfig(name="AGAIN", subjects=["again.>"]))
    await set_plan(org, "enterprise")

    async def creates_more():
        return await js.add_stream(StreamConfig(name="MORE", subjects=["more.>"]))

    await eventually(creates_more, within=3)


async def test_free_plan_has_no_own_streams(org):
    await set_plan(org, "free")
    nc = await (await org.create_client(permissions=MANAGE)).connect_nats()
    with pytest.raises((JetStreamError, nats.errors.Error)):
        await nc.jetstream(timeout=2).add_stream(StreamConfig(name="MINE", subjects=["mine.>"]))
    # Channels are stored, and can be read and acknowledged.
    channel = await org.create_channel()
    await org.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json=1)
    assert (await nc.jetstream().publish(channel["subject"], b"2")).seq == 2
    reader = nc.jetstream(domain="PLATFORM")
    assert (await reader.get_last_msg("CHANNELS", channel["subject"], direct=True)).data == b"2"


async def test_plan_without_own_streams_keeps_them_for_a_later_plan(org):
    await set_plan(org, "enterprise")
    nc = await (await org.create_client(permissions=MANAGE)).connect_nats()
    js = nc.jetstream(timeout=2)
    await js.add_stream(StreamConfig(name="MINE", subjects=["mine.>"]))
    await js.publish("mine.a", b"1")
    await set_plan(org, "free")

    async def is_over():
        with pytest.raises((JetStreamError, nats.errors.Error)):
            await js.stream_info("MINE")
        with pytest.raises((JetStreamError, nats.errors.Error)):
            await js.publish("mine.a", b"lost", timeout=0.5)
        return True

    await eventually(is_over)
    await set_plan(org, "enterprise")

    async def is_back():
        with contextlib.suppress(JetStreamError, nats.errors.Error):
            return (await js.publish("mine.a", b"2")).seq

    assert await eventually(is_back) == 2
    assert (await js.get_msg("MINE", 1)).data == b"1"
