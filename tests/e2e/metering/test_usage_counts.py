"""What is counted is what was sent: exactly, by tenant, client and channel."""

import asyncio
import json

import httpx

from support.waiting import eventually

CLIENTS = ("ann", "ben", "cyd")


async def stats_when(tenant, messages, within=20):
    """The live counters, once they show this many messages."""

    async def look():
        answer = await tenant.http.get("/usage/local/stats")
        if answer.status_code == 503:
            return False  # metering was killed and is not back yet
        assert answer.status_code == 200, answer.text
        stats = answer.json()
        return stats if stats["today"]["messages"] >= messages else None

    await eventually(look, within=within)
    await asyncio.sleep(1.5)  # nothing may come on top
    return await tenant.call("GET", "/usage/local/stats", 200)


async def test_ten_thousand_messages_in_mixed_ways(tenant, other_tenant):
    agents = {name: await tenant.create_client(name) for name in CLIENTS}
    channels = [await tenant.create_channel(name) for name in ("red", "blue")]
    sockets = {name: await agent.connect_websocket() for name, agent in agents.items()}
    direct = {name: await agent.connect_nats() for name, agent in agents.items()}
    # Whatever else goes on is not a message: heartbeats, pings, presence, subscriptions.
    listener = await agents["ann"].connect_websocket()
    await listener.subscribe(channel=channels[0]["channel_id"])

    sent = {}  # (way, client, channel): messages
    payload = {"text": "x" * 40}

    async def over_websocket(name, channel, count):
        socket = sockets[name]
        for number in range(count):
            last = {"id": f"{channel['name']}{number}"} if number == count - 1 else {}
            await socket.send(type="publish", channel=channel["channel_id"], data=payload, **last)
            if number % 200 == 0:
                await socket.send(type="heartbeat")
        await socket.receive("published", within=30)
        sent["ws", name, channel["channel_id"]] = count

    async def over_nats(name, channel, count):
        nc = direct[name]
        for number in range(count):
            await nc.publish(channel["subject"], json.dumps(payload).encode())
            if number % 100 == 0:
                await nc.publish(f"_heartbeat.{tenant.id}.{agents[name].id}", b'{"ts":1,"v":"1.0"}')
        await nc.flush(20)
        sent["nats", name, channel["channel_id"]] = count

    async def by_rest(channel, count):
        for _ in range(count):
            await tenant.call("POST", f"/channels/{channel['channel_id']}/messages", 202, json=payload)
        sent["rest", "", channel["channel_id"]] = count

    red, blue = channels
    await asyncio.gather(
        over_websocket("ann", red, 2000),
        over_websocket("ben", blue, 1500),
        over_nats("ben", red, 2500),
        over_nats("cyd", blue, 3000),
        by_rest(red, 60),
        by_rest(blue, 40),
        over_websocket("cyd", red, 900),
    )
    total = sum(sent.values())
    assert total == 10_000
    stats = await stats_when(tenant, total)
    print(f"\nsent {total}, counted {stats['today']['messages']}")
    assert stats["today"]["messages"] == total

    by_client = {each["client_id"]: each["messages"] for each in stats["clients"]}
    for name, agent in agents.items():
        assert by_client[agent.id] == sum(n for (_, who, _), n in sent.items() if who == name), name
    by_channel = {each["channel_id"]: each["messages"] for each in stats["channels"]}
    for channel in channels:
        known = sum(n for (way, _, c), n in sent.items() if c == channel["channel_id"] and way != "nats")
        assert by_channel[channel["channel_id"]] == known

    # The one listener got every message of its channel, once, and that is what was delivered.
    on_red = sum(n for (_, _, c), n in sent.items() if c == red["channel_id"])
    await eventually(lambda: len(listener.pending("message")) == on_red)
    assert stats["today"]["deliveries"] == on_red
    deliveries = {each["client_id"]: each["deliveries"] for each in stats["clients"]}
    assert deliveries[agents["ann"].id] == on_red

    # The other views agree; another tenant was charged nothing.
    daily = (await tenant.call("GET", "/usage/metrics", 200))["daily"]
    assert len(daily) == 7
    assert daily[-1]["messages"] == total
    assert daily[-1]["active_clients"] == 3
    assert daily[-1]["active_channels"] == 2
    assert [day["messages"] for day in daily[:-1]] == [0] * 6
    current = await tenant.call("GET", "/usage/current", 200)
    assert current["messages"]["used"] == total
    assert (await other_tenant.call("GET", "/usage/local/stats", 200))["today"]["messages"] == 0


async def test_one_message_to_one_subscriber_is_one_and_one(tenant):
    one, other = (
        await (await tenant.create_client()).connect_websocket(),
        await (await tenant.create_client()).connect_websocket(),
    )
    await other.subscribe(subject="x.>")
    await one.send_and_receive("publish", "published", subject="x.y", data="four", id=1)
    await other.receive("message")
    stats = await stats_when(tenant, 1)
    today = stats["today"]
    assert (today["messages"], today["deliveries"]) == (1, 1)
    assert (today["bytes_in"], today["bytes_out"]) == (6, 6)


async def test_api_calls_are_counted_and_not_erased_by_messages(tenant):
    socket = await (await tenant.create_client()).connect_websocket()
    before = (await stats_when(tenant, 0))["today"]["api_calls"]
    for _ in range(20):
        await tenant.call("GET", "/clients", 200)
        await socket.send_and_receive("publish", "published", subject="x", data=1, id=1)
    stats = await stats_when(tenant, 20)
    assert stats["today"]["messages"] == 20
    # Looking at the figures are calls too: at least the twenty, and no more than were made.
    assert 20 <= stats["today"]["api_calls"] - before <= 80


async def test_killed_gateway_loses_no_count_and_doubles_none(tenant):
    """The broker's limited_stack count settles what a gateway had no time to report."""
    stack = tenant.stack
    agent = await tenant.create_client()
    socket = await agent.connect_websocket()
    for number in range(500):
        await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
    stack.supervisor.kill("gateway")

    async def back():
        try:
            return (await tenant.http.get("/health")).status_code == 200
        except httpx.HTTPError:
            return False

    await eventually(back, within=30)
    stats = await stats_when(tenant, 500, within=30)
    assert stats["today"]["messages"] == 500


async def test_killed_metering_loses_no_count_and_doubles_none(tenant):
    stack = tenant.stack
    agent, direct = await tenant.create_client(), await (await tenant.create_client()).connect_nats()
    socket = await agent.connect_websocket()
    for number in range(600):
        await socket.send_and_receive("publish", "published", subject="x", data=number, id=number)
        await direct.publish(f"{tenant.id}.y", b"1")
        if number in (200, 400):
            await eventually(lambda: stack.supervisor.pid("metering"))
            stack.supervisor.kill("metering")
    await direct.flush()
    await direct.close()
    stats = await stats_when(tenant, 1200, within=40)
    assert stats["today"]["messages"] == 1200
