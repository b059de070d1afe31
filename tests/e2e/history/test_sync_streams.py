"""`artcafe sync-streams` moves streams that an earlier release created in the account of the clients."""

import contextlib
import json
from datetime import datetime, timedelta

import nats.errors
import pytest
from nats.js.api import (
    ConsumerConfig,
    DeliverPolicy,
    RePublish,
    RetentionPolicy,
    StreamConfig,
    SubjectTransform,
)
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from artcafe_common.broker.subjects import HISTORY_STREAM
from support.actors import User
from support.aws import call_dynamodb
from support.cli import Terminal
from support.history import create_subject, publish, read_history
from support.waiting import eventually

MANAGE = {"streams": "manage"}


async def create_earlier_streams(js, tenant, subject):
    """The streams of a channel's history and of a subject, as an earlier release created them."""
    channels = f"tenant.{tenant.id}.channel.>"
    await js.add_stream(
        StreamConfig(
            name=HISTORY_STREAM,
            subjects=[channels],
            republish=RePublish(src=channels, dest=f"_KEPT.{channels}"),
            metadata={"artcafe_version": "1"},
        )
    )
    await js.add_stream(StreamConfig(name=subject["stream"], subjects=[f"{tenant.id}.orders.>"]))


async def downgrade_account(stack, tenant):
    """Store the account as an earlier release did, without an account for streams."""
    await call_dynamodb(
        stack,
        "update_item",
        TableName="artcafe-nkey-seeds",
        Key={"seed_id": {"S": f"account#{tenant.id}"}},
        UpdateExpression="REMOVE streams, streams_moved, own, own_roots, own_streams",
    )
    await stack.supervisor.stop("identity")
    stack.start("identity")


async def connect_to_earlier_account(stack, tenant):
    """A client that manages streams in its own account, as an earlier release had it."""
    await downgrade_account(stack, tenant)
    client = await eventually(lambda: tenant.create_client(permissions=MANAGE), within=20)

    async def connect_without_limit():
        nc = await client.connect_nats()
        js = nc.jetstream(timeout=2)
        with contextlib.suppress(JetStreamError, nats.errors.Error):
            if (await js.account_info()).limits.max_streams == -1:
                return nc, js
        await nc.close()
        return None

    # Identity answers logins before it has pushed the account of the earlier release: it compares all accounts of the
    # stack, slowly.
    nc, js = await eventually(connect_without_limit, within=60)
    return client, nc, js


async def test_streams_are_moved_with_their_messages(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    channel, subject = await tenant.create_channel(), await create_subject(tenant)
    client, nc, js = await connect_to_earlier_account(separate_stack, tenant)
    await create_earlier_streams(js, tenant, subject)
    for number in range(1, 6):
        await nc.publish(channel["subject"], b"%d" % number)
        await nc.publish(f"{tenant.id}.orders.new", b"%d" % number)

    async def all_stored():
        return (await js.stream_info(HISTORY_STREAM)).state.last_seq == 5

    await eventually(all_stored)
    await js.delete_msg(HISTORY_STREAM, 2)
    stored_at = (await js.get_msg(HISTORY_STREAM, 3)).time

    for _ in range(2):
        result = await Terminal(tmp_path).run("sync-streams", "--json", **separate_stack.environ())
        assert (result.code, result.json["rejected"]) == (0, []), result.err
        assert result.json["synced"] == 2

    for stream in (HISTORY_STREAM, subject["stream"]):
        with pytest.raises(NotFoundError):
            await js.stream_info(stream)
    messages = (await read_history(tenant, channel))["messages"]
    assert [(each["seq"], each["data"]) for each in messages] == [(1, 1), (3, 3), (4, 4), (5, 5)]
    # nats-py rounds the time.
    assert abs(datetime.fromisoformat(messages[1]["timestamp"]) - stored_at) < timedelta(milliseconds=1)
    (published,) = await publish(tenant, channel, 6)
    assert published["seq"] == 6
    reader = (await (await tenant.create_client()).connect_nats()).jetstream(domain="PLATFORM")

    async def sixth_stored():
        await nc.publish(f"{tenant.id}.orders.new", b"6")
        return (await reader.stream_info(subject["stream"])).state.last_seq >= 6

    await eventually(sixth_stored)
    socket = await client.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], since=5)
    await publish(tenant, channel, 7)
    assert [(await socket.receive("message"))["data"] for _ in range(3)] == [5, 6, 7]


async def sync(stack, tmp_path):
    result = await Terminal(tmp_path).run("sync-streams", "--json", **stack.environ())
    assert (result.code, result.json["rejected"]) == (0, []), (result.out, result.err)


async def take(js, stream, consumer, count):
    """Fetch and acknowledge messages; the number that each has in the test."""
    subscription = await js.pull_subscribe_bind(consumer, stream=stream)
    messages = await subscription.fetch(count, timeout=3)
    for message in messages:
        await message.ack_sync()
    return [int(message.data) for message in messages]


async def test_own_streams_are_moved_with_their_consumers_and_what_they_keep(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    _, _, js = await connect_to_earlier_account(separate_stack, tenant)
    for name, retention in (
        ("JOBS", RetentionPolicy.LIMITS),
        ("QUEUE", RetentionPolicy.WORK_QUEUE),
        ("EVENTS", RetentionPolicy.INTEREST),
    ):
        await js.add_stream(StreamConfig(name=name, subjects=[f"{name.lower()}.>"], retention=retention))
        await js.add_consumer(name, ConsumerConfig(durable_name="worker"))
        for number in range(6):
            await js.publish(f"{name.lower()}.x", b"%d" % number)
        assert await take(js, name, "worker", 2) == [0, 1]
    bucket = await js.create_key_value(bucket="settings")
    await bucket.put("colour", b"red")
    files = await js.create_object_store(bucket="files")
    await files.put("report", b"x" * 300_000)

    for _ in range(2):
        await sync(separate_stack, tmp_path)

    for name in ("JOBS", "QUEUE", "EVENTS"):
        assert await take(js, name, "worker", 10) == [2, 3, 4, 5]
        assert (await js.publish(f"{name.lower()}.x", b"6")).seq == 7
        assert await take(js, name, "worker", 10) == [6]
    assert (await js.stream_info("JOBS")).state.messages == 7
    assert (await bucket.get("colour")).value == b"red"
    assert (await bucket.put("colour", b"blue")) == 2
    assert len((await files.get("report")).data) == 300_000
    assert set(await bucket.keys()) == {"colour"}


async def test_what_is_no_longer_accepted_is_left_behind(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    _, _, js = await connect_to_earlier_account(separate_stack, tenant)
    await js.add_stream(
        StreamConfig(
            name="MINE",
            subjects=["mine.a", "mine.b", "_heartbeat.x.>"],
            republish=RePublish(src="mine.a", dest="copy"),
            subject_transform=SubjectTransform(src="mine.b", dest="$JS.API.STREAM.PURGE.MINE"),
        )
    )
    await js.publish("mine.a", b"1")
    refused = {
        "headers": ConsumerConfig(durable_name="headers", headers_only=True),
        "elsewhere": ConsumerConfig(
            durable_name="elsewhere",
            deliver_subject="$JS.API.STREAM.CREATE.EVIL",
            deliver_policy=DeliverPolicy.NEW,
        ),
        "good": ConsumerConfig(durable_name="good"),
    }
    for config in refused.values():
        await js.add_consumer("MINE", config)

    await sync(separate_stack, tmp_path)

    config = (await js.stream_info("MINE")).config
    assert (config.subjects, config.republish, config.subject_transform) == (
        ["mine.a", "mine.b"],
        None,
        None,
    )
    consumers = {each.name: each.config.headers_only for each in await js.consumers_info("MINE")}
    assert consumers == {"headers": None, "good": None}
    assert (await js.publish("mine.b", b"2")).seq == 2
    assert (await js.get_msg("MINE", 2)).subject == "mine.b"


async def test_interrupted_move_of_own_streams_is_finished_without_a_command(separate_stack, tmp_path):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    _, _, js = await connect_to_earlier_account(separate_stack, tenant)
    for number in range(3):
        await js.add_stream(StreamConfig(name=f"S{number}", subjects=[f"s{number}.>"]))
        await js.publish(f"s{number}.x", b"%d" % number)
    # As it is while the first stream is being moved.
    original = (await js.stream_info("S0")).config.as_dict()
    await js.update_stream(
        StreamConfig(name="S0", subjects=["_MOVED.S0"], metadata={"artcafe_moved": json.dumps(original)})
    )
    await call_dynamodb(
        separate_stack,
        "update_item",
        TableName="artcafe-nkey-seeds",
        Key={"seed_id": {"S": f"account#{tenant.id}"}},
        UpdateExpression="SET streams_moved = :yes, own_streams = :moving",
        ExpressionAttributeValues={":yes": {"BOOL": True}, ":moving": {"S": "moving"}},
    )
    await separate_stack.supervisor.stop("identity")
    separate_stack.start("identity")

    async def all_moved():
        with contextlib.suppress(JetStreamError, nats.errors.Error):
            return [(await js.publish(f"s{n}.x", b"again", timeout=1)).seq >= 2 for n in range(3)] and (
                await js.account_info()
            ).limits.max_streams != -1

    await eventually(all_moved, within=90)
    for number in range(3):
        info = await js.stream_info(f"S{number}")
        assert info.config.subjects == [f"s{number}.>"]
        assert "artcafe_moved" not in (info.config.metadata or {})
        assert int((await js.get_msg(f"S{number}", 1)).data) == number
