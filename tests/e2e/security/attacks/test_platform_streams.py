"""No client changes, deletes or fills the platform's streams, or takes their place, whatever it may do."""

import asyncio
import json

import nats.errors
import pytest
from nats.js.api import RePublish, StreamConfig
from nats.js.errors import Error as JetStreamError

from support.history import publish, read_history
from support.waiting import QUIET_PERIOD_S

MANAGE = {"streams": "manage"}
CHANGES = ("UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "CREATE")


async def assert_history_is(tenant, channel, *expected):
    """The stored messages, and that a further one is stored."""
    assert [each["data"] for each in (await read_history(tenant, channel))["messages"]] == list(expected)
    (stored,) = await publish(tenant, channel, "next")
    assert stored["seq"] > 0


async def is_refused(nc, subject, body):
    """Whether a JetStream call gets an error or no reply."""
    try:
        reply = await nc.request(subject, json.dumps(body).encode(), timeout=QUIET_PERIOD_S)
    except (TimeoutError, nats.errors.Error):
        return True
    return "error" in json.loads(reply.data)


@pytest.mark.parametrize("permissions", [{}, MANAGE], ids=["default", "manage"])
async def test_history_stream_cannot_be_changed(tenant, permissions):
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1, 2)
    nc = await (await tenant.create_client(permissions=permissions)).connect_nats()
    config = {"name": "CHANNELS", "subjects": ["other.>"]}
    for prefix in ("$JS.API", "$JS.PLATFORM.API"):
        for change in CHANGES:
            body = {**config, "seq": 1, "deliver_subject": "_INBOX.x", "config": config, "state": {}}
            refused = await is_refused(nc, f"{prefix}.STREAM.{change}.CHANNELS", body)
            # A client that manages streams may have one of this name in its own account.
            assert refused or (permissions == MANAGE and prefix == "$JS.API"), (prefix, change)
    await assert_history_is(tenant, channel, 1, 2)


async def test_own_stream_does_not_take_the_place_of_the_history(tenant):
    """An own stream of the same subjects neither feeds the history nor replaces it, and has another name."""
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1)
    nc = await (await tenant.create_client(permissions=MANAGE)).connect_nats()
    js = nc.jetstream()
    subject = f"tenant.{tenant.id}.channel.>"
    for name in ("CHANNELS", "SUBJECT_01JNB5X8S2Z4T6V8X0A2C4E6G8"):
        with pytest.raises(JetStreamError, match="stream of the platform"):
            await js.add_stream(StreamConfig(name=name, subjects=[subject]))
    await js.add_stream(StreamConfig(name="MINE", subjects=[subject]))
    await publish(tenant, channel, 2)
    assert (await js.stream_info("MINE")).state.messages == 1
    await js.purge_stream("MINE")
    await js.delete_stream("MINE")
    await assert_history_is(tenant, channel, 1, 2)


@pytest.mark.parametrize("target", ["$JS.API.STREAM.PURGE.CHANNELS", "$JS.API.STREAM.DELETE.CHANNELS"])
async def test_own_stream_cannot_republish_to_the_api_of_the_history(tenant, target):
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1)
    nc = await (await tenant.create_client(permissions=MANAGE)).connect_nats()
    with pytest.raises(JetStreamError):
        await nc.jetstream().add_stream(
            StreamConfig(name="MINE", subjects=["mine"], republish=RePublish(src="mine", dest=target))
        )
    await nc.publish("mine", b"{}", reply="_INBOX.reply")
    await nc.publish(target, b"{}", reply="_INBOX.reply")
    await nc.flush()
    await asyncio.sleep(QUIET_PERIOD_S)
    await assert_history_is(tenant, channel, 1)


@pytest.mark.parametrize(
    "target",
    ["$JS.API.STREAM.PURGE.CHANNELS", "_REPUBLISH.tenant.{tid}.channel.x", "_GW.x", "tenant.{tid}.channel.x"],
)
async def test_consumer_of_the_history_delivers_to_inboxes_only(tenant, target):
    """JetStream checks no permission on the subject that a consumer delivers to."""
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1)
    nc = await (await tenant.create_client()).connect_nats()
    config = {"deliver_subject": target.format(tid=tenant.id), "ack_policy": "none"}
    for call in ("CREATE.CHANNELS", "CREATE.CHANNELS.c", "CREATE.CHANNELS.c.>", "DURABLE.CREATE.CHANNELS.c"):
        body = {"stream_name": "CHANNELS", "config": config}
        for sent in (json.dumps(body), json.dumps(body).replace("deliver_subject", "DELIVER_SUBJECT")):
            reply = await nc.request(f"$JS.PLATFORM.API.CONSUMER.{call}", sent.encode(), timeout=5)
            assert "error" in json.loads(reply.data), sent
    await assert_history_is(tenant, channel, 1)


async def test_acknowledgement_of_another_client_is_not_believed(tenant):
    """Every subscriber of a channel sees where its publisher expects the acknowledgement."""
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1)
    forger = await (await tenant.create_client()).connect_nats()

    async def acknowledge(message):
        if message.reply:
            await forger.publish(message.reply, b'{"stream":"CHANNELS","seq":987654}')

    await forger.subscribe(channel["subject"], cb=acknowledge)
    await forger.flush()
    socket = await (await tenant.create_client()).connect_websocket()
    for number in range(20):
        published = await socket.send_and_receive(
            "publish", "published", channel=channel["channel_id"], data=number, id=number
        )
        assert published["seq"] == number + 2


async def test_replayed_message_of_another_client_is_not_believed(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1)
    client = await tenant.create_client(permissions=MANAGE)
    nc = await client.connect_nats()
    socket = await (await tenant.create_client()).connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], since=1)
    assert (await socket.receive("message"))["data"] == 1
    forged = f"_REPUBLISH.{channel['subject']}"
    with pytest.raises(JetStreamError):
        await nc.jetstream().add_stream(
            StreamConfig(name="MINE", subjects=["mine"], republish=RePublish(src="mine", dest=forged))
        )
    headers = {
        "Nats-Stream": "CHANNELS",
        "Nats-Subject": channel["subject"],
        "Nats-Sequence": "2",
        "Nats-Last-Sequence": "1",
        "Nats-Time-Stamp": "2026-01-01T00:00:00Z",
    }
    for subject in (forged, "mine"):
        await nc.publish(subject, b'"forged"', headers=headers)
    await nc.flush()
    await socket.assert_no_frame("message", for_s=QUIET_PERIOD_S)
    await publish(tenant, channel, 2)
    assert (await socket.receive("message"))["data"] == 2


async def test_streams_of_another_organization_are_out_of_reach(tenant, other_tenant):
    channel = await other_tenant.create_channel()
    await publish(other_tenant, channel, "secret")
    js = (await (await tenant.create_client()).connect_nats()).jetstream(domain="PLATFORM", timeout=2)
    with pytest.raises((JetStreamError, nats.errors.Error)):
        await js.get_last_msg("CHANNELS", channel["subject"], direct=True)
    with pytest.raises((JetStreamError, nats.errors.Error)):
        await js.stream_info("CHANNELS")
