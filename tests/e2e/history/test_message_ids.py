"""A message to a channel that is published again with the same `message_id` is stored and delivered once."""

import asyncio
import time

import pytest

from support.actors import User
from support.health import wait_until_healthy
from support.history import read_history
from support.pausing import paused
from support.waiting import eventually


async def stored(tenant, channel):
    messages = (await read_history(tenant, channel))["messages"]
    return [(message["data"], message.get("message_id")) for message in messages]


async def test_repeated_message_is_stored_and_delivered_once(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    name, other = channel["channel_id"], await tenant.create_channel()
    first, second = await client.connect_websocket(), await client.connect_websocket()
    live, replayed, wide = [await (await tenant.create_client()).connect_websocket() for _ in range(3)]
    await live.subscribe(channel=name)
    await replayed.subscribe(channel=name, last=0)
    await wide.subscribe(subject=f"tenant.{tenant.id}.channel.*")
    publish = {"channel": name, "data": 1, "message_id": "order-1", "id": 1}
    seq = (await first.send_and_receive("publish", "published", **publish))["seq"]
    again = await second.send_and_receive("publish", "published", **publish)
    assert (again["seq"], again["duplicate"]) == (seq, True)
    # An id is scoped to its publisher and its channel.
    stranger = await (await tenant.create_client()).connect_websocket()
    assert "duplicate" not in await stranger.send_and_receive("publish", "published", **publish | {"data": 2})
    elsewhere = publish | {"channel": other["channel_id"], "data": 3}
    assert "duplicate" not in await first.send_and_receive("publish", "published", **elsewhere)
    await first.send_and_receive("publish", "published", channel=name, data=4, id=4)
    for socket, expected in ((live, [1, 2, 4]), (replayed, [1, 2, 4]), (wide, [1, 2, 3, 4])):
        assert [(await socket.receive("message"))["data"] for _ in expected] == expected
        await socket.assert_no_frame("message", for_s=0.1)
    assert await stored(tenant, channel) == [(1, "order-1"), (2, "order-1"), (4, None)]


async def test_repeated_message_reaches_direct_subscribers_once(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    nc = await (await tenant.create_client()).connect_nats()
    received = await nc.subscribe(channel["subject"])
    await nc.flush()
    sockets = [await client.connect_websocket() for _ in range(2)]
    publish = {"channel": channel["channel_id"], "data": 1, "message_id": "order-1", "id": 1}
    for number in range(4):
        published = await sockets[number % 2].send_and_receive("publish", "published", **publish)
        assert published.get("duplicate", False) is (number > 0)
    path = f"/channels/{channel['channel_id']}/messages"
    for number in range(3):
        posted = await tenant.call("POST", path, 202, json={"data": 2, "message_id": "order-1"})
        assert posted.get("duplicate", False) is (number > 0)
    await sockets[0].send_and_receive(
        "publish", "published", **publish | {"message_id": "order-2", "data": 3}
    )
    assert [(await received.next_msg(timeout=2)).data for _ in range(3)] == [b"1", b"2", b"3"]
    assert received.pending_msgs == 0
    assert [data for data, _ in await stored(tenant, channel)] == [1, 2, 3]


async def test_direct_publisher_cannot_use_up_the_id_of_another(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    socket, nc = await client.connect_websocket(), await (await tenant.create_client()).connect_nats()
    for message_id in ("order-1", f"{client.id}:order-1"):
        await nc.publish(channel["subject"], b"0", headers={"Nats-Msg-Id": message_id})
    await nc.flush()
    publish = {"channel": channel["channel_id"], "data": 1, "message_id": "order-1", "id": 1}
    assert "duplicate" not in await socket.send_and_receive("publish", "published", **publish)


@pytest.mark.parametrize("where", ["body", "header"])
async def test_repeated_message_over_rest_is_stored_once(tenant, where):
    channel = await tenant.create_channel()
    path = f"/channels/{channel['channel_id']}/messages"
    body = {"data": 1, "message_id": "order-1"} if where == "body" else {"data": 1}
    headers = {"Idempotency-Key": "order-1"} if where == "header" else {}
    accepted = [await tenant.call("POST", path, 202, json=body, headers=headers) for _ in range(2)]
    assert accepted[0]["seq"] == accepted[1]["seq"]
    # A key's response is repeated as it was; the broker says that it knows the id.
    assert accepted[1].get("duplicate", False) is (where == "body")
    assert len(await stored(tenant, channel)) == 1
    problem = await tenant.call("POST", path, 400, json={"data": 1, "message_id": "a b"})
    assert problem["errors"][0]["field"] == "message_id"


async def test_invalid_message_id_is_rejected(tenant):
    channel, client = await tenant.create_channel(), await tenant.create_client()
    socket = await client.connect_websocket()
    for message_id in ("", "a b", "a\r\nb", "a\n", "é", "x" * 129, 1, {}):
        await socket.send(
            type="publish", channel=channel["channel_id"], data=1, message_id=message_id, id="m"
        )
        assert (await socket.receive("error", id="m"))["code"] == "bad_frame"
    assert await stored(tenant, channel) == []


async def test_publish_that_the_broker_does_not_confirm_is_uncertain_and_can_be_repeated(new_stack):
    async with new_stack() as stack:
        tenant = await (await User.sign_up(stack)).create_organization()
        channel, client = await tenant.create_channel(), await tenant.create_client()
        socket = await client.connect_websocket()
        publish = {"type": "publish", "channel": channel["channel_id"], "message_id": "order-1", "id": 1}
        await socket.send(**publish | {"message_id": "before", "data": 0})
        await socket.receive("published")
        async with paused(stack.supervisor.pid("nats")):
            started_at = time.monotonic()
            await socket.send(**publish, data=1)
            await asyncio.sleep(0.3)
            stack.supervisor.kill("nats")
        error = await socket.receive("error", within=20)
        assert (error["code"], error["id"]) == ("publish_uncertain", 1)
        assert time.monotonic() - started_at < 20
        await wait_until_healthy(tenant)

        async def published():
            await socket.send(**publish, data=1)
            answer = await socket.receive_any({"published", "error"}, id=1)
            return answer["type"] == "published"

        await eventually(published, within=20)
        assert [data for data, _ in await stored(tenant, channel)] == [0, 1]
