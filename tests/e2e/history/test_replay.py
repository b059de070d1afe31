"""Subscriptions that start in the history of a channel: in order, without gaps or duplicates."""

import asyncio
import random

from support.actors import User
from support.history import publish
from support.waiting import eventually


async def publish_stored(tenant, channel, *messages):
    """Publish over REST; returns the sequence numbers."""
    return [response["seq"] for response in await publish(tenant, channel, *messages)]


async def receive_data(socket, count):
    """The data of the next messages, which must have increasing sequence numbers."""
    frames = [await socket.receive("message") for _ in range(count)]
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(set(seqs))
    return [frame["data"] for frame in frames]


async def test_stored_messages_are_delivered_before_new_ones(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    channel_id = channel["channel_id"]
    seqs = await publish_stored(tenant, channel, *range(10))
    starts = {
        "all": ({"since": 1}, 0),
        "seq": ({"since": seqs[4]}, 4),
        "text": ({"since": str(seqs[7])}, 7),
        "time": ({"since": "2020-01-01T00:00:00Z"}, 0),
        "future": ({"since": "2099-01-01T00:00:00Z"}, 10),
        "last": ({"last": 3}, 7),
        "more": ({"last": 100}, 0),
        "none": ({"last": 0}, 10),
    }
    sockets = {}
    for name, (start, first) in starts.items():
        socket = sockets[name] = await client.connect_websocket()
        reply = await socket.send_and_receive("subscribe", "subscribed", channel=channel_id, id=name, **start)
        assert (reply["channel"], reply["id"]) == (channel_id, name)
        # The messages after this place follow.
        assert [seq for seq in seqs if seq > reply["seq"]] == seqs[first:]
        assert "channel_id" not in reply
        assert await receive_data(socket, 10 - first) == list(range(first, 10)), name
    await publish_stored(tenant, channel, *range(10, 13))
    for name, socket in sockets.items():
        assert await receive_data(socket, 3) == [10, 11, 12], name
        await socket.assert_no_frame("message", for_s=0.05)


async def test_channel_named_by_its_name_is_confirmed_with_its_id(tenant):
    channel, client = await tenant.create_channel("news"), await tenant.create_client()
    socket = await client.connect_websocket()
    for start in ({}, {"last": 0}):
        reply = await socket.send_and_receive("subscribe", "subscribed", channel="news", **start)
        assert reply["channel_id"] == channel["channel_id"]


async def test_replayed_messages_have_the_same_content_as_live_ones(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    publisher, nc = await client.connect_websocket(), await client.connect_nats()
    plain = await client.connect_websocket()
    await plain.subscribe(channel=channel["channel_id"])
    await publisher.send_and_receive(
        "publish", "published", channel=channel["channel_id"], data={"n": 1}, id=1
    )
    await nc.publish(channel["subject"], b"\xff", headers={"Nats-Sequence": "7"})
    await nc.flush()
    subscriber = await client.connect_websocket()
    await subscriber.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], last=2)
    first, second = await subscriber.receive("message"), await subscriber.receive("message")
    assert (first["data"], first["from"], first["channel"]) == ({"n": 1}, client.id, channel["channel_id"])
    assert first["subject"] == channel["subject"]
    assert second["data"] == {"base64": "/w=="}
    await publisher.send_and_receive(
        "publish", "published", channel=channel["channel_id"], data={"n": 2}, id=2
    )
    await nc.publish(channel["subject"], b"\xff", headers={"Nats-Sequence": "7"})
    live = [await subscriber.receive("message") for _ in range(2)]
    assert [m["data"] for m in live] == [{"n": 2}, {"base64": "/w=="}]
    assert [m["seq"] for m in [first, second, *live]] == list(range(first["seq"], first["seq"] + 4))
    assert live[0]["from"] == client.id
    # A plain subscription receives the same messages without sequence numbers.
    received = [await plain.receive("message") for _ in range(4)]
    assert [(m["data"], m["subject"], m.get("from")) for m in received] == [
        (m["data"], m["subject"], m.get("from")) for m in [first, second, *live]
    ]


async def test_published_reply_has_the_sequence_number(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    socket, subscriber = await client.connect_websocket(), await client.connect_websocket()
    await subscriber.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], last=0)
    for number in range(300):
        await socket.send(type="publish", channel=channel["channel_id"], data=number, id=number)
    replies = [await socket.receive("published") for _ in range(300)]
    received = [await subscriber.receive("message") for _ in range(300)]
    assert {a["id"]: a["seq"] for a in replies} == {m["data"]: m["seq"] for m in received}
    # Other subjects have no sequence numbers.
    assert "seq" not in await socket.send_and_receive("publish", "published", subject="x", data=1, id="x")
    reply = await socket.send_and_receive("publish", "published", subject=channel["subject"], data=1, id="y")
    assert reply["seq"] == received[-1]["seq"] + 1


async def test_subscribing_during_heavy_publishing_has_no_gaps_and_no_duplicates(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    nc = await client.connect_nats()
    await publish_stored(tenant, channel, -1)
    total = 6_000

    async def publish_all():
        for number in range(total):
            await nc.publish(channel["subject"], b'{"n":%d,"fill":"%s"}' % (number, b"x" * 200))
            if number % 40 == 0:
                await asyncio.sleep(0.01)
        await nc.flush()

    task = asyncio.create_task(publish_all())
    rng = random.Random(5)
    sockets = []
    for _ in range(12):
        await asyncio.sleep(rng.random() * 0.15)
        socket = await client.connect_websocket()
        start = rng.choice([{"since": 1}, {"last": rng.randrange(2000)}, {"last": 0}])
        await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], **start)
        sockets.append((socket, start))
    await task
    for socket, start in sockets:
        numbers, seqs = [], []
        while not numbers or numbers[-1] != total - 1:
            frame = await socket.receive("message", within=20)
            if frame["data"] != -1:
                numbers.append(frame["data"]["n"])
            seqs.append(frame["seq"])
        assert numbers == list(range(numbers[0], total)), start
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        if "since" in start:
            assert numbers[0] == 0


async def test_overlapping_subscriptions_deliver_once(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    name = channel["channel_id"]
    await publish_stored(tenant, channel, "old")
    socket = await client.connect_websocket()
    await socket.subscribe(subject=f"tenant.{tenant.id}.channel.>")
    await socket.subscribe(channel=name)
    await publish_stored(tenant, channel, "plain")
    assert (await socket.receive("message"))["data"] == "plain"
    # A subscription with history replaces the plain one.
    await socket.send_and_receive("subscribe", "subscribed", channel=name, last=1)
    assert await receive_data(socket, 1) == ["plain"]
    await socket.subscribe(subject=f"tenant.{tenant.id}.channel.*")
    await publish_stored(tenant, channel, 1, 2)
    assert await receive_data(socket, 2) == [1, 2]
    await socket.assert_no_frame("message")
    # A repeated subscription replays again.
    await socket.send_and_receive("subscribe", "subscribed", channel=name, last=2)
    assert await receive_data(socket, 2) == [1, 2]
    # After the unsubscribe, the wildcard subscriptions still deliver.
    await socket.send_and_receive("unsubscribe", "unsubscribed", channel=name)
    await publish_stored(tenant, channel, 3)
    assert (await socket.receive("message"))["data"] == 3
    await socket.assert_no_frame("message")
    for wildcard in ("*", ">"):
        await socket.send_and_receive(
            "unsubscribe", "unsubscribed", subject=f"tenant.{tenant.id}.channel.{wildcard}"
        )
    await publish_stored(tenant, channel, 4)
    await socket.assert_no_frame("message")


async def test_invalid_history_subscriptions_are_rejected(tenant, other_tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    await publish_stored(tenant, channel, 1)
    socket = await client.connect_websocket()
    name = channel["channel_id"]

    async def assert_rejected(code, **fields):
        await socket.send(type="subscribe", id="r", **fields)
        assert (await socket.receive("error", id="r"))["code"] == code, fields

    await assert_rejected("history_unavailable", subject="x", last=1)
    await assert_rejected("history_unavailable", subject=">", since=1)
    await assert_rejected("invalid_request", channel=name, since=1, last=1)
    await assert_rejected("invalid_request", channel=name, since="yesterday")
    await assert_rejected("invalid_request", channel=name, since=str(10**30))
    for start in ({"since": 0}, {"since": -1}, {"since": []}, {"last": -1}, {"last": 10**9}, {"last": "1"}):
        await assert_rejected("bad_frame", channel=name, **start)
    await assert_rejected("forbidden_subject", subject=f"tenant.{other_tenant.id}.channel.{name}", last=1)
    # For another organization the channel does not exist.
    other = await (await other_tenant.create_client()).connect_websocket()
    await other.send(type="subscribe", id="r", channel=name, last=1)
    assert (await other.receive("error", id="r"))["code"] == "channel_not_found"
    await publish_stored(tenant, channel, 2)
    await socket.assert_no_frame("message")
    await other.assert_no_frame("message")


async def test_long_history_does_not_disconnect_a_slow_reader(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    nc = await client.connect_nats()
    await publish_stored(tenant, channel, {"n": -1})
    for number in range(300):
        await nc.publish(channel["subject"], b'{"n":%d,"fill":"%s"}' % (number, b"x" * 50_000))
        if number % 50 == 0:
            await nc.flush()
    await nc.flush()
    # 15 MB are replayed through a send queue of 4 MB.
    socket = await client.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], since=1)
    numbers = [(await socket.receive("message", within=20))["data"]["n"] for _ in range(301)]
    assert numbers == list(range(-1, 300))


async def test_messages_published_during_a_broker_restart_are_not_missed(separate_stack):
    """The publisher reconnects before the gateway does; the socket stays open and receives the message."""
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    channel, client = await tenant.create_channel(), await tenant.create_client()
    await publish_stored(tenant, channel, 0)
    socket = await client.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], last=1)
    assert await receive_data(socket, 1) == [0]
    received = [0]
    for round_ in range(1, 4):
        separate_stack.supervisor.kill("nats")

        async def publish_over_nats(number=round_):
            try:
                nc = await client.connect_nats()
                await nc.publish(channel["subject"], b"%d" % number)
                await nc.flush()
            except Exception:  # noqa: BLE001 - a starting broker fails in many ways
                return False
            return True

        await eventually(publish_over_nats, within=30, every=0.02)
        while received[-1] != round_:
            received += await receive_data(socket, 1)
    assert sorted(set(received)) == [0, 1, 2, 3]
    # The gateway's other connection may still be connecting again.
    seqs = await eventually(lambda: publish_stored(tenant, channel, 4), within=10)
    frame = await socket.receive("message")
    assert (frame["data"], frame["seq"]) == (4, seqs[0])
