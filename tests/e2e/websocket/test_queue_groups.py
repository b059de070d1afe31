"""Queue groups: WebSocket and direct NATS subscribers share the messages, each goes to one of them."""

import asyncio
from itertools import chain

import pytest

from support.waiting import eventually

MESSAGES = 300


async def test_websocket_and_nats_members_share_the_messages(tenant, socket_pair):
    publisher, first = socket_pair
    second = await (await tenant.create_client()).connect_websocket()
    nc = await (await tenant.create_client()).connect_nats()
    direct = []

    async def on_message(message):
        direct.append(int(message.data))

    for socket, subject in ((first, "jobs.*"), (second, f"tenant.{tenant.id}.jobs.a")):
        confirmed = await socket.subscribe(subject=subject, queue="workers", id="s")
        assert confirmed == {"type": "subscribed", "subject": subject, "queue": "workers", "id": "s"}
    await nc.subscribe(f"{tenant.id}.jobs.a", queue="workers", cb=on_message)
    await nc.flush()
    for number in range(MESSAGES):
        if number % 3:
            await publisher.send(type="publish", subject="jobs.a", data=number)
        else:
            await nc.publish(f"{tenant.id}.jobs.a", b"%d" % number)

    def shares():
        return [[frame["data"] for frame in each.pending("message")] for each in (first, second)] + [direct]

    await eventually(lambda: sum(map(len, shares())) >= MESSAGES)
    # Duplicates would arrive later.
    await asyncio.sleep(0.3)
    assert sorted(chain(*shares())) == list(range(MESSAGES))
    assert all(len(share) > MESSAGES / 10 for share in shares())
    assert {frame["queue"] for frame in first.pending("message")} == {"workers"}

    # The other spelling has WebSocket members only.
    for socket in (first, second):
        socket.drain("message")
    await nc.publish(f"tenant.{tenant.id}.jobs.a", b"-1")
    await eventually(lambda: list(chain(*shares()[:2])) == [-1])

    # Whoever leaves is chosen no more: by unsubscribing, or by a broken connection.
    await first.send_and_receive("unsubscribe", "unsubscribed", subject="jobs.*", queue="workers")
    second.ws.transport.abort()
    first.drain("message")
    direct.clear()

    async def is_alone():
        start = len(direct)
        for number in range(20):
            await publisher.send(type="publish", subject="jobs.a", data=number)
        await publisher.send_and_receive("publish", "published", subject="jobs.b", data=0, id=1)
        await nc.flush()
        return direct[start:] == list(range(20))

    await eventually(is_alone)
    assert first.pending("message") == []


async def test_group_of_a_channel_shares_its_new_messages(tenant, socket_pair):
    publisher, member = socket_pair
    channel = (await tenant.create_channel())["channel_id"]
    nc = await (await tenant.create_client()).connect_nats()
    await member.subscribe(channel=channel, queue="workers")
    direct = await nc.subscribe(f"tenant.{tenant.id}.channel.{channel}", queue="workers")
    await nc.flush()
    for number in range(20):
        await publisher.send_and_receive("publish", "published", channel=channel, data=number, id=number)
    await nc.flush()
    await eventually(lambda: len(member.pending("message")) + direct.pending_msgs >= 20)
    assert 0 < direct.pending_msgs < 20
    assert {frame["channel"] for frame in member.pending("message")} == {channel}


@pytest.mark.parametrize("replay", [{"since": 1}, {"last": 0}])
async def test_group_has_no_history(tenant, socket_pair, replay):
    channel = (await tenant.create_channel())["channel_id"]
    await socket_pair[0].send(type="subscribe", channel=channel, queue="workers", id=1, **replay)
    error = await socket_pair[0].receive("error")
    assert (error["code"], error["id"]) == ("queue_has_no_history", 1)


async def test_malformed_group_and_missing_permission_are_errors(tenant):
    narrow = await tenant.create_client(permissions={"subscribe": ["jobs.a"]})
    errors = []

    async def on_error(error):
        errors.append(str(error).lower())

    socket, nc = await narrow.connect_websocket(), await narrow.connect_nats(error_cb=on_error)
    for queue in ("a b", "", "*", "x" * 256):
        await socket.send(type="subscribe", subject="jobs.a", queue=queue, id=1)
        assert (await socket.receive("error"))["code"] == "bad_queue"
    await socket.send(type="subscribe", subject="jobs.b", queue="workers", id=2)
    assert (await socket.receive("error"))["code"] == "forbidden_subject"
    await socket.subscribe(subject="jobs.a", queue="workers")
    # The broker holds the same permission for direct members.
    await nc.subscribe(f"{tenant.id}.jobs.a", queue="workers")
    await nc.flush()
    assert errors == []
    await nc.subscribe(f"{tenant.id}.jobs.b", queue="workers")
    await eventually(lambda: errors and "permissions violation" in errors[0])
