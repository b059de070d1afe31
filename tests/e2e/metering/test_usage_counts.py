"""Usage counters are exact: per organization, client and channel, and across restarts."""

import asyncio
import json

from support.health import is_ready
from support.waiting import eventually

CLIENTS = ("ann", "ben", "cyd")


async def wait_for_stats(tenant, messages, within=20):
    """The live counters, as soon as they show at least `messages` messages and have settled."""

    async def read_stats():
        response = await tenant.http.get("/usage/local/stats")
        if response.status_code == 503:
            return None  # metering is restarting
        assert response.status_code == 200, response.text
        stats = response.json()
        return stats if stats["today"]["messages"] >= messages else None

    await eventually(read_stats, within=within)
    # Duplicate counts would arrive later.
    await asyncio.sleep(1.5)
    return await tenant.call("GET", "/usage/local/stats", 200)


async def test_ten_thousand_messages_over_every_transport_are_counted(tenant, other_tenant):
    clients = {name: await tenant.create_client(name) for name in CLIENTS}
    channels = [await tenant.create_channel(name) for name in ("red", "blue")]
    sockets = {name: await client.connect_websocket() for name, client in clients.items()}
    direct = {name: await client.connect_nats() for name, client in clients.items()}
    # Heartbeats, presence and subscriptions are not counted as messages.
    subscriber = await clients["ann"].connect_websocket()
    await subscriber.subscribe(channel=channels[0]["channel_id"])

    sent = {}  # (transport, client name, channel id): messages
    payload = {"text": "x" * 40}

    async def publish_over_websocket(name, channel, count):
        socket = sockets[name]
        for number in range(count):
            last = {"id": f"{channel['name']}{number}"} if number == count - 1 else {}
            await socket.send(type="publish", channel=channel["channel_id"], data=payload, **last)
            if number % 200 == 0:
                await socket.send(type="heartbeat")
        await socket.receive("published", within=30)
        sent["ws", name, channel["channel_id"]] = count

    async def publish_over_nats(name, channel, count):
        nc = direct[name]
        for number in range(count):
            await nc.publish(channel["subject"], json.dumps(payload).encode())
            if number % 100 == 0:
                await nc.publish(f"_heartbeat.{tenant.id}.{clients[name].id}", b'{"ts":1,"v":"1.0"}')
        await nc.flush(20)
        sent["nats", name, channel["channel_id"]] = count

    async def publish_over_rest(channel, count):
        for _ in range(count):
            await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json=payload)
        sent["rest", "", channel["channel_id"]] = count

    red, blue = channels
    await asyncio.gather(
        publish_over_websocket("ann", red, 2000),
        publish_over_websocket("ben", blue, 1500),
        publish_over_nats("ben", red, 2500),
        publish_over_nats("cyd", blue, 3000),
        publish_over_rest(red, 60),
        publish_over_rest(blue, 40),
        publish_over_websocket("cyd", red, 900),
    )
    total = sum(sent.values())
    assert total == 10_000
    stats = await wait_for_stats(tenant, total)
    print(f"\nsent {total}, counted {stats['today']['messages']}")
    assert stats["today"]["messages"] == total

    by_client = {each["client_id"]: each["messages"] for each in stats["clients"]}
    for name, client in clients.items():
        assert by_client[client.id] == sum(n for (_, sender, _), n in sent.items() if sender == name), name
    by_channel = {each["channel_id"]: each["messages"] for each in stats["channels"]}
    for channel in channels:
        channel_id = channel["channel_id"]
        # Channels are not counted for messages over NATS.
        expected = sum(n for (via, _, c), n in sent.items() if c == channel_id and via != "nats")
        assert by_channel[channel_id] == expected

    # The only subscriber received every message of its channel once; these are the deliveries.
    on_red = sum(n for (_, _, c), n in sent.items() if c == red["channel_id"])
    await eventually(lambda: len(subscriber.pending("message")) == on_red)
    assert stats["today"]["deliveries"] == on_red
    deliveries = {each["client_id"]: each["deliveries"] for each in stats["clients"]}
    assert deliveries[clients["ann"].id] == on_red

    # The other usage routes agree, and the other organization has no usage.
    daily = (await tenant.call("GET", "/usage/metrics", 200))["daily"]
    assert len(daily) == 7
    assert daily[-1]["messages"] == total
    assert daily[-1]["active_clients"] == 3
    assert daily[-1]["active_channels"] == 2
    assert [day["messages"] for day in daily[:-1]] == [0] * 6
    current = await tenant.call("GET", "/usage/current", 200)
    assert current["messages"]["used"] == total
    assert (await other_tenant.call("GET", "/usage/local/stats", 200))["today"]["messages"] == 0


async def test_one_message_to_one_subscriber_counts_one_message_and_one_delivery(tenant):
    publisher, subscriber = [await (await tenant.create_client()).connect_websocket() for _ in range(2)]
    await subscriber.subscribe(subject="x.>")
    await publisher.send_and_receive("publish", "published", subject="x.y", data="four", id=1)
    await subscriber.receive("message")
    stats = await wait_for_stats(tenant, 1)
    today = stats["today"]
    assert (today["messages"], today["deliveries"]) == (1, 1)
    assert (today["bytes_in"], today["bytes_out"]) == (6, 6)


async def test_message_to_a_queue_group_counts_one_delivery(tenant):
    publisher, *members = [await (await tenant.create_client()).connect_websocket() for _ in range(3)]
    for member in members:
        await member.subscribe(subject="x.>", queue="workers")
    for number in range(10):
        await publisher.send_and_receive("publish", "published", subject="x.y", data="four", id=number)
    await eventually(lambda: sum(len(each.pending("message")) for each in members) == 10)
    today = (await wait_for_stats(tenant, 10))["today"]
    assert (today["messages"], today["deliveries"], today["bytes_out"]) == (10, 10, 60)


async def test_api_calls_and_messages_are_counted_independently(tenant):
    socket = await (await tenant.create_client()).connect_websocket()
    before = (await wait_for_stats(tenant, 0))["today"]["api_calls"]
    for _ in range(20):
        await tenant.call("GET", "/clients", 200)
        await socket.send_and_receive("publish", "published", subject="x", data=1, id=1)
    stats = await wait_for_stats(tenant, 20)
    assert stats["today"]["messages"] == 20
    # Reading the counters is also a call.
    assert 20 <= stats["today"]["api_calls"] - before <= 80


async def test_killed_gateway_loses_and_duplicates_no_counts(tenant):
    """The broker's own counters complete what a killed gateway did not report."""
    stack = tenant.stack
    client = await tenant.create_client()
    socket = await client.connect_websocket()
    for number in range(500):
        await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
    stack.supervisor.kill("gateway")

    await eventually(lambda: is_ready(tenant), within=30)
    stats = await wait_for_stats(tenant, 500, within=30)
    assert stats["today"]["messages"] == 500


async def test_killed_metering_loses_and_duplicates_no_counts(tenant):
    stack = tenant.stack
    client, direct = await tenant.create_client(), await (await tenant.create_client()).connect_nats()
    socket = await client.connect_websocket()
    for number in range(600):
        await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
        await direct.publish(f"{tenant.id}.y", b"1")
        if number in (200, 400):
            await eventually(lambda: stack.supervisor.pid("metering"))
            stack.supervisor.kill("metering")
    await direct.flush()
    await direct.close()
    stats = await wait_for_stats(tenant, 1200, within=40)
    assert stats["today"]["messages"] == 1200
