"""Channels over WebSocket from a place of their history on: no gap, no double, in order."""

import asyncio
import random

import pytest

from support.actors import User
from support.waiting import eventually


async def told(tenant, channel, *messages):
    """Publish over REST; the messages' places."""
    path = f"/channels/{channel['channel_id']}/messages"
    return [(await tenant.call("POST", path, 202, json=message))["seq"] for message in messages]


async def got(socket, count):
    """The next messages' data and seqs."""
    frames = [await socket.receive("message") for _ in range(count)]
    seqs = [frame["seq"] for frame in frames]
    assert seqs == sorted(set(seqs))
    return [frame["data"] for frame in frames]


async def test_what_was_kept_comes_first_and_then_what_is_new(tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    name = channel["channel_id"]
    seqs = await told(tenant, channel, *range(10))
    wanted = {
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
    for what, (place, begins) in wanted.items():
        sockets[what] = await agent.connect_websocket()
        reply = await sockets[what].send_and_receive(
            "subscribe", "subscribed", channel=name, id=what, **place
        )
        assert (reply["channel"], reply["id"]) == (name, what)
        assert await got(sockets[what], 10 - begins) == list(range(begins, 10)), what
    await told(tenant, channel, *range(10, 13))
    for what, socket in sockets.items():
        assert await got(socket, 3) == [10, 11, 12], what
        await socket.assert_no_frame("message", for_s=0.05)


async def test_a_message_is_as_it_was_published(tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    publisher, nc = await agent.connect_websocket(), await agent.connect_nats()
    plain = await agent.connect_websocket()
    await plain.subscribe(channel=channel["channel_id"])
    await publisher.send_and_receive(
        "publish", "published", channel=channel["channel_id"], data={"n": 1}, id=1
    )
    await nc.publish(channel["subject"], b"\xff", headers={"Nats-Sequence": "7"})
    await nc.flush()
    listener = await agent.connect_websocket()
    await listener.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], last=2)
    first, second = await listener.receive("message"), await listener.receive("message")
    assert (first["data"], first["from"], first["channel"]) == ({"n": 1}, agent.id, channel["channel_id"])
    assert first["subject"] == channel["subject"]
    assert second["data"] == {"base64": "/w=="}
    await publisher.send_and_receive(
        "publish", "published", channel=channel["channel_id"], data={"n": 2}, id=2
    )
    await nc.publish(channel["subject"], b"\xff", headers={"Nats-Sequence": "7"})
    live = [await listener.receive("message") for _ in range(2)]
    assert [m["data"] for m in live] == [{"n": 2}, {"base64": "/w=="}]
    assert [m["seq"] for m in [first, second, *live]] == list(range(first["seq"], first["seq"] + 4))
    assert live[0]["from"] == agent.id
    # Whoever asked for no place gets no seq, and the same otherwise.
    same = [await plain.receive("message") for _ in range(4)]
    assert [(m["data"], m["subject"], m.get("from")) for m in same] == [
        (m["data"], m["subject"], m.get("from")) for m in [first, second, *live]
    ]


async def test_published_tells_the_place(tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    socket, listener = await agent.connect_websocket(), await agent.connect_websocket()
    await listener.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], last=0)
    for number in range(300):
        await socket.send(type="publish", channel=channel["channel_id"], data=number, id=number)
    answers = [await socket.receive("published") for _ in range(300)]
    heard = [await listener.receive("message") for _ in range(300)]
    assert {a["id"]: a["seq"] for a in answers} == {m["data"]: m["seq"] for m in heard}
    # What is no channel has no place.
    assert "seq" not in await socket.send_and_receive("publish", "published", subject="x", data=1, id="x")
    full = await socket.send_and_receive("publish", "published", subject=channel["subject"], data=1, id="y")
    assert full["seq"] == heard[-1]["seq"] + 1


async def test_no_gap_and_no_double_where_much_is_published_meanwhile(tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    nc = await agent.connect_nats()
    await told(tenant, channel, -1)
    total, published = 6_000, 0

    async def publish():
        nonlocal published
        for number in range(total):
            await nc.publish(channel["subject"], b'{"n":%d,"fill":"%s"}' % (number, b"x" * 200))
            published = number
            if number % 40 == 0:
                await asyncio.sleep(0.01)
        await nc.flush()

    task = asyncio.create_task(publish())
    chance = random.Random(5)
    sockets = []
    for _ in range(12):
        await asyncio.sleep(chance.random() * 0.15)
        socket = await agent.connect_websocket()
        place = chance.choice([{"since": 1}, {"last": chance.randrange(2000)}, {"last": 0}])
        await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], **place)
        sockets.append((socket, place))
    await task
    for socket, place in sockets:
        numbers, seqs = [], []
        while not numbers or numbers[-1] != total - 1:
            frame = await socket.receive("message", within=20)
            if frame["data"] != -1:
                numbers.append(frame["data"]["n"])
            seqs.append(frame["seq"])
        assert numbers == list(range(numbers[0], total)), place
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        if "since" in place:
            assert numbers[0] == 0


async def test_overlapping_subscriptions_get_it_once(tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    name = channel["channel_id"]
    await told(tenant, channel, "old")
    socket = await agent.connect_websocket()
    await socket.subscribe(subject=f"tenant.{tenant.id}.channel.>")
    await socket.subscribe(channel=name)
    await told(tenant, channel, "plain")
    assert (await socket.receive("message"))["data"] == "plain"
    # Now from the history, in the place of the plain subscription.
    await socket.send_and_receive("subscribe", "subscribed", channel=name, last=1)
    assert await got(socket, 1) == ["plain"]
    await socket.subscribe(subject=f"tenant.{tenant.id}.channel.*")
    await told(tenant, channel, 1, 2)
    assert await got(socket, 2) == [1, 2]
    await socket.assert_no_frame("message")
    # Asked again, it is told again.
    await socket.send_and_receive("subscribe", "subscribed", channel=name, last=2)
    assert await got(socket, 2) == [1, 2]
    # Without it, the others take over; without them, nobody.
    await socket.send_and_receive("unsubscribe", "unsubscribed", channel=name)
    await told(tenant, channel, 3)
    assert (await socket.receive("message"))["data"] == 3
    await socket.assert_no_frame("message")
    for tail in ("*", ">"):
        await socket.send_and_receive(
            "unsubscribe", "unsubscribed", subject=f"tenant.{tenant.id}.channel.{tail}"
        )
    await told(tenant, channel, 4)
    await socket.assert_no_frame("message")


async def test_what_makes_no_sense_is_refused(tenant, other_tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    await told(tenant, channel, 1)
    socket = await agent.connect_websocket()
    name = channel["channel_id"]

    async def assert_rejected(code, **fields):
        await socket.send(type="subscribe", id="r", **fields)
        assert (await socket.receive("error", id="r"))["code"] == code, fields

    await assert_rejected("history_unavailable", subject="x", last=1)
    await assert_rejected("history_unavailable", subject=">", since=1)
    await assert_rejected("invalid_request", channel=name, since=1, last=1)
    await assert_rejected("invalid_request", channel=name, since="yesterday")
    await assert_rejected("invalid_request", channel=name, since=str(10**30))
    for place in ({"since": 0}, {"since": -1}, {"since": []}, {"last": -1}, {"last": 10**9}, {"last": "1"}):
        await assert_rejected("bad_frame", channel=name, **place)
    await assert_rejected("forbidden_subject", subject=f"tenant.{other_tenant.id}.channel.{name}", last=1)
    # An organization without channels keeps nothing.
    other = await (await other_tenant.create_client()).connect_websocket()
    await other.send(type="subscribe", id="r", channel=name, last=1)
    assert (await other.receive("error", id="r"))["code"] == "history_unavailable"
    await told(tenant, channel, 2)
    await socket.assert_no_frame("message")
    await other.assert_no_frame("message")


async def test_a_long_history_waits_for_a_slow_reader(tenant):
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    nc = await agent.connect_nats()
    await told(tenant, channel, {"n": -1})
    for number in range(300):
        await nc.publish(channel["subject"], b'{"n":%d,"fill":"%s"}' % (number, b"x" * 50_000))
        if number % 50 == 0:
            await nc.flush()
    await nc.flush()
    # 15 MB behind an outbox of 4: who reads slowly is not cut for having asked.
    socket = await agent.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], since=1)
    numbers = [(await socket.receive("message", within=20))["data"]["n"] for _ in range(301)]
    assert numbers == list(range(-1, 300))


@pytest.fixture
async def own_stack(new_stack):
    async with new_stack() as running:
        yield running


async def test_what_was_published_while_the_broker_came_back_is_not_missed(own_stack):
    """Kept by a publisher that was quicker than the gateway: the subscriber stays and gets it."""
    tenant = await (await User.sign_up(own_stack)).create_organization()
    channel, agent = await tenant.create_channel(), await tenant.create_client()
    await told(tenant, channel, 0)
    socket = await agent.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=channel["channel_id"], last=1)
    assert await got(socket, 1) == [0]
    heard = [0]
    for round_ in range(1, 4):
        own_stack.supervisor.kill("nats")

        async def publish(number=round_):
            nc = await agent.connect_nats()
            await nc.publish(channel["subject"], b"%d" % number)
            await nc.flush()
            return True

        async def quickly(number=round_):
            try:
                return await publish(number)
            except Exception:  # noqa: BLE001 - whatever a broker that is starting does
                return False

        await eventually(quickly, within=30, every=0.02)
        while heard[-1] != round_:
            heard += await got(socket, 1)
    assert sorted(set(heard)) == [0, 1, 2, 3]
    seqs = await told(tenant, channel, 4)
    frame = await socket.receive("message")
    assert (frame["data"], frame["seq"]) == (4, seqs[0])
