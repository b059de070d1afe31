"""Subscriptions: spellings of a subject, overlaps, order, and several sockets of one client."""

import asyncio

import pytest

from support.broker import list_tenant_connections
from support.waiting import eventually


@pytest.mark.parametrize("published", ["x.y", "{tid}.x.y", "tenant.{tid}.x.y"])
@pytest.mark.parametrize("subscribed", ["x.*", "{tid}.x.*", "tenant.{tid}.x.*"])
async def test_three_spellings_of_a_subject_are_equivalent(tenant, published, subscribed, socket_pair):
    publisher, subscriber = socket_pair
    published, subscribed = published.format(tid=tenant.id), subscribed.format(tid=tenant.id)
    await subscriber.subscribe(subject=subscribed)
    await publisher.send_and_receive("publish", "published", subject=published, data=1, id=1)
    message = await subscriber.receive("message")
    # The published subject, in the spelling of the subscription.
    assert message["subject"] == subscribed.replace("*", "y")
    await subscriber.assert_no_frame("message")


async def test_websocket_receives_nats_messages_of_every_subject_prefix(tenant):
    client = await tenant.create_client()
    socket, nc = await (await tenant.create_client()).connect_websocket(), await client.connect_nats()
    await socket.subscribe(subject="x")
    for subject in (f"{tenant.id}.x", f"tenant.{tenant.id}.x"):
        await nc.publish(subject, b"1")
        assert (await socket.receive("message"))["subject"] == "x"
    for prefix in ("agents", "channels"):
        subject = f"{prefix}.{tenant.id}.x"
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
    # Duplicates would arrive later.
    await asyncio.sleep(0.3)
    assert [frame["data"] for frame in subscriber.pending("message")] == list(range(200))
    assert {frame["subject"] for frame in subscriber.pending("message")} == {"a.b"}
    # Unsubscribing from one leaves the others.
    await subscriber.send_and_receive("unsubscribe", "unsubscribed", subject="a.>")
    subscriber.drain("message")
    await publisher.send_and_receive("publish", "published", subject="a.b", data="still", id=1)
    assert (await subscriber.receive("message"))["data"] == "still"
    await subscriber.assert_no_frame("message")


async def test_unsubscribe_and_close_remove_broker_subscriptions(tenant, socket_pair):
    publisher, subscriber = socket_pair
    await subscriber.subscribe(subject="gone")
    await subscriber.send_and_receive("unsubscribe", "unsubscribed", subject="gone")
    await subscriber.subscribe(subject="left")
    await publisher.send_and_receive("publish", "published", subject="gone", data=1, id=1)
    await subscriber.assert_no_frame("message")

    async def count_broker_subscriptions():
        text = (await tenant.http.get("/metrics")).text
        return next(float(s.split()[1]) for s in text.splitlines() if s.startswith("artcafe_bridge_sub"))

    before = await count_broker_subscriptions()
    await subscriber.close()

    async def is_removed():
        return await count_broker_subscriptions() <= before - 1

    await eventually(is_removed)


async def test_no_message_precedes_subscribed_and_order_is_preserved(socket_pair):
    publisher, subscriber = socket_pair
    stop = asyncio.Event()

    async def publish():
        number = 0
        while not stop.is_set():
            await publisher.send(type="publish", subject="flow", data=number)
            number += 1
            await asyncio.sleep(0.0005)

    publishing = asyncio.create_task(publish())
    # Some messages precede the subscription.
    await asyncio.sleep(0.1)
    await subscriber.send(type="subscribe", subject="flow", id="s")
    await eventually(lambda: len(subscriber.pending("message")) > 100)
    stop.set()
    await publishing
    types = [frame["type"] for frame in subscriber.received]
    assert types[types.index("welcome") + 1] == "subscribed"
    numbers = [frame["data"] for frame in subscriber.pending("message")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_sockets_of_one_client_are_independent(tenant):
    client, publisher = await tenant.create_client(), await (await tenant.create_client()).connect_websocket()
    sockets = [await client.connect_websocket() for _ in range(3)]
    for socket in sockets:
        await socket.subscribe(subject="all")
    await sockets[0].close()
    # A socket that reconnects immediately receives messages, too.
    sockets[0] = await client.connect_websocket()
    await sockets[0].subscribe(subject="all")
    await publisher.send_and_receive("publish", "published", subject="all", data="hi", id=1)
    for socket in sockets:
        assert (await socket.receive("message"))["data"] == "hi"
    await eventually(lambda: tenant.is_online(client.id))


async def test_repeatedly_reconnected_client_receives_messages(tenant):
    client, publisher = await tenant.create_client(), await (await tenant.create_client()).connect_websocket()
    for number in range(10):
        socket = await client.connect_websocket()
        await socket.subscribe(subject="again")
        await publisher.send_and_receive("publish", "published", subject="again", data=number, id=number)
        assert (await socket.receive("message"))["data"] == number
        if number % 2:
            await socket.close()
        else:
            socket.ws.transport.abort()


async def test_dashboards_of_one_user_are_independent(tenant):
    name = (await tenant.create_channel())["channel_id"]
    publisher = await (await tenant.create_client()).connect_websocket()
    tabs = []
    for number in range(10):
        tabs.append(await tenant.connect_dashboard())
        await tabs[-1].send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
        await tabs[-1].send_and_receive("subscribe_topic_preview", "subscription_confirmed")
        if number % 3 == 0:
            await tabs[-1].send_and_receive(
                "unsubscribe_channel", "unsubscription_confirmed", channel_id=name
            )
            await tabs[-1].send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
        if len(tabs) > 2:
            oldest = tabs.pop(0)
            if number % 2:
                await oldest.close()
            else:
                oldest.ws.transport.abort()
        await publisher.send_and_receive("publish", "published", channel=name, data=number, id=number)
        for tab in tabs:
            assert (await tab.receive("channel_message"))["data"] == number
            assert (await tab.receive("topic_preview_message"))["data"] == number


async def test_sockets_share_one_broker_subscription(tenant):
    client = await tenant.create_client()
    sockets = [await client.connect_websocket() for _ in range(5)]
    for socket in sockets:
        await socket.subscribe(subject="shared.>")
    # One connection with two subscriptions: the subject has two spellings at the broker.
    bridges = await list_tenant_connections(tenant)
    assert [bridge.subscriptions for bridge in bridges] == [2]
