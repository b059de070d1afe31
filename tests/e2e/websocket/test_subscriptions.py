"""Subscriptions: names, overlaps, order, and many sockets of one client."""

import asyncio

import pytest

from artcafe_common.broker.connect import connect as connect_nats
from artcafe_common.broker.system_account import list_connections
from support.waiting import eventually


@pytest.mark.parametrize("published", ["x.y", "{tid}.x.y", "tenant.{tid}.x.y"])
@pytest.mark.parametrize("subscribed", ["x.*", "{tid}.x.*", "tenant.{tid}.x.*"])
async def test_the_three_spellings_are_one_name(tenant, published, subscribed, socket_pair):
    publisher, subscriber = socket_pair
    published, subscribed = published.format(tid=tenant.id), subscribed.format(tid=tenant.id)
    await subscriber.subscribe(subject=subscribed)
    await publisher.send_and_receive("publish", "published", subject=published, data=1, id=1)
    message = await subscriber.receive("message")
    # The real subject, in the subscriber's spelling.
    assert message["subject"] == subscribed.replace("*", "y")
    assert await subscriber.assert_no_frame("message") is None


async def test_direct_nats_clients_of_every_habit_meet_websockets(tenant):
    agent = await tenant.create_client()
    socket, nc = await (await tenant.create_client()).connect_websocket(), await agent.connect_nats()
    await socket.subscribe(subject="x")
    for subject in (f"{tenant.id}.x", f"tenant.{tenant.id}.x"):
        await nc.publish(subject, b"1")
        assert (await socket.receive("message"))["subject"] == "x"
    for habit in ("agents", "channels"):
        subject = f"{habit}.{tenant.id}.x"
        await socket.subscribe(subject=subject)
        await nc.publish(subject, b'"as it is"')
        assert (await socket.receive("message"))["subject"] == subject
    await nc.publish(f"{tenant.id}.x", b"\xff\x00")
    assert (await socket.receive("message"))["data"] == {"base64": "/wA="}


async def test_overlapping_subscriptions_deliver_once(tenant, socket_pair):
    publisher, subscriber = socket_pair
    for subject in ("a.>", "a.*", "a.b", "*.b", f"{tenant.id}.a.b", f"tenant.{tenant.id}.a.>"):
        await subscriber.subscribe(subject=subject)
    for number in range(200):
        await publisher.send(type="publish", subject="a.b", data=number)
    await eventually(lambda: len(subscriber.pending("message")) >= 200)
    await asyncio.sleep(0.3)
    assert [frame["data"] for frame in subscriber.pending("message")] == list(range(200))
    assert {frame["subject"] for frame in subscriber.pending("message")} == {"a.b"}
    # Taking one away leaves the others.
    await subscriber.send_and_receive("unsubscribe", "unsubscribed", subject="a.>")
    subscriber._seen.clear()
    await publisher.send_and_receive("publish", "published", subject="a.b", data="still", id=1)
    assert (await subscriber.receive("message"))["data"] == "still"
    await subscriber.assert_no_frame("message")


async def test_unsubscribe_and_close_leave_nothing_behind(tenant, socket_pair):
    publisher, subscriber = socket_pair
    await subscriber.subscribe(subject="gone")
    await subscriber.send_and_receive("unsubscribe", "unsubscribed", subject="gone")
    await subscriber.subscribe(subject="left")
    await publisher.send_and_receive("publish", "published", subject="gone", data=1, id=1)
    await subscriber.assert_no_frame("message")

    async def subscriptions():
        text = (await tenant.http.get("/metrics")).text
        return next(float(s.split()[1]) for s in text.splitlines() if s.startswith("artcafe_bridge_sub"))

    before = await subscriptions()
    await subscriber.close()
    await eventually(lambda: _less(subscriptions, before - 1))


async def _less(measure, bound):
    return await measure() <= bound


async def test_nothing_from_before_subscribed_and_order_is_kept(socket_pair):
    publisher, subscriber = socket_pair
    stop = asyncio.Event()

    async def flood():
        number = 0
        while not stop.is_set():
            await publisher.send(type="publish", subject="flow", data=number)
            number += 1
            await asyncio.sleep(0.0005)

    flooding = asyncio.create_task(flood())
    await asyncio.sleep(0.1)
    await subscriber.send(type="subscribe", subject="flow", id="s")
    await eventually(lambda: len(subscriber.pending("message")) > 100)
    stop.set()
    await flooding
    kinds = [frame["type"] for frame in subscriber._seen]
    assert kinds[0] == "subscribed"
    numbers = [frame["data"] for frame in subscriber.pending("message")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_many_sockets_of_one_client_are_independent(tenant):
    agent, publisher = await tenant.create_client(), await (await tenant.create_client()).connect_websocket()
    sockets = [await agent.connect_websocket() for _ in range(3)]
    for socket in sockets:
        await socket.subscribe(subject="all")
    await sockets[0].close()
    # A quick return is not deaf, and closing the old one does not end the new.
    sockets[0] = await agent.connect_websocket()
    await sockets[0].subscribe(subject="all")
    await publisher.send_and_receive("publish", "published", subject="all", data="hi", id=1)
    for socket in sockets:
        assert (await socket.receive("message"))["data"] == "hi"
    status = await tenant.call("GET", f"/clients/{agent.id}/status", 200)
    assert status["status"] == "online"


async def test_reconnecting_again_and_again_never_makes_deaf(tenant):
    agent, publisher = await tenant.create_client(), await (await tenant.create_client()).connect_websocket()
    for number in range(10):
        socket = await agent.connect_websocket()
        await socket.subscribe(subject="again")
        await publisher.send_and_receive("publish", "published", subject="again", data=number, id=number)
        assert (await socket.receive("message"))["data"] == number
        if number % 2:
            await socket.close()
        else:
            socket.ws.transport.abort()


async def test_one_tab_of_a_dashboard_leaves_the_other_its_channel(tenant):
    channel, publisher = (
        await tenant.create_channel(),
        await (await tenant.create_client()).connect_websocket(),
    )
    name = channel["channel_id"]
    tabs = []
    for number in range(10):
        tabs.append(await tenant.connect_dashboard())
        await tabs[-1].send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
        await tabs[-1].send_and_receive("subscribe_topic_preview", "subscription_confirmed")
        # The older one goes: by a word, by a close frame, or without either.
        if number % 3 == 0:
            await tabs[-1].send_and_receive(
                "unsubscribe_channel", "unsubscription_confirmed", channel_id=name
            )
            await tabs[-1].send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
        if len(tabs) > 2:
            gone = tabs.pop(0)
            if number % 2:
                await gone.close()
            else:
                gone.ws.transport.abort()
        await publisher.send_and_receive("publish", "published", channel=name, data=number, id=number)
        for tab in tabs:
            assert (await tab.receive("channel_message"))["data"] == number
            assert (await tab.receive("topic_preview_message"))["data"] == number


async def test_one_subscription_at_the_broker_however_many_sockets_listen(tenant):
    agent = await tenant.create_client()
    sockets = [await agent.connect_websocket() for _ in range(5)]
    for socket in sockets:
        await socket.subscribe(subject="shared.>")
    stack = tenant.stack
    keys = stack.directory / "keys"
    system = await connect_nats(stack.environ()["NATS_URL"], keys / "metering-system.creds", name="metering")
    try:
        bridges = [
            connection
            for listing in await list_connections(system)
            for connection in listing.connections
            if connection.name_tag == tenant.id
        ]
    finally:
        await system.close()
    # The name has two spellings at the broker: two subscriptions, on one connection, for all five.
    assert [bridge.subscriptions for bridge in bridges] == [2]
