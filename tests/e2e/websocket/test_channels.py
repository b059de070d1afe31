"""Channels over WebSocket and REST: named by id or name, and nothing is published to one that does not exist."""

import pytest

from support.actors import set_plan
from support.agents import LegacyAgent
from support.history import publish, read_history

UNKNOWN_ID = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDE"


async def assert_not_found(socket, kind="publish", **frame):
    await socket.send(type=kind, id="missing", **({"data": 1} if kind != "subscribe" else {}), **frame)
    answer = await socket.receive_any({"error", "published", "subscribed", "reply"}, id="missing")
    assert answer.get("code") == "channel_not_found", answer


async def test_channel_is_named_by_its_id_or_its_name(tenant):
    channel = await tenant.create_channel("Market news")
    one, other = [await (await tenant.create_client()).connect_websocket() for _ in range(2)]
    assert (await one.subscribe(channel="market NEWS"))["channel"] == "market NEWS"
    await other.subscribe(channel=channel["channel_id"])
    seqs = []
    for name in ("Market news", channel["channel_id"]):
        seqs.append(
            (await one.send_and_receive("publish", "published", channel=name, data=name, id=1))["seq"]
        )
        for socket in (one, other):
            message = await socket.receive("message")
            assert (message["data"], message["channel"]) == (name, channel["channel_id"])
    assert seqs == sorted(set(seqs))
    late = await (await tenant.create_client()).connect_websocket()
    await late.subscribe(channel="Market news", since=1)
    assert [(await late.receive("message"))["seq"] for _ in seqs] == seqs
    await one.send_and_receive("unsubscribe", "unsubscribed", channel="market NEWS")
    await other.send_and_receive("publish", "published", channel="Market news", data=3, id=2)
    await one.assert_no_frame("message")


async def test_channel_is_named_by_its_name_over_rest(tenant):
    channel = await tenant.create_channel("Market news")
    for name in ("Market news", channel["channel_id"]):
        assert (await tenant.call("GET", f"/channels/{name}", 200)) == channel
        await publish(tenant, {"channel_id": name}, 1)
        assert (await tenant.call("GET", f"/channels/{name}/subscribers", 200))["subscribers"] == []
    assert len((await read_history(tenant, {"channel_id": "market NEWS"}))["messages"]) == 2
    for method in ("GET", "POST"):
        problem = await tenant.call(method, "/channels/Markets/messages", 404, json=1)
        assert problem["code"] == "channel_not_found"


async def test_dashboard_names_a_channel_by_its_name(tenant):
    channel, dashboard = await tenant.create_channel("News"), await tenant.connect_dashboard()
    for kind in ("subscribe_channel", "unsubscribe_channel"):
        confirmed = "subscription_confirmed" if kind == "subscribe_channel" else "unsubscription_confirmed"
        reply = await dashboard.send_and_receive(kind, confirmed, channel_id="news")
        assert reply["channel_id"] == channel["channel_id"]
        await publish(tenant, channel, 1)
        if kind == "subscribe_channel":
            assert (await dashboard.receive("channel_message"))["channel_id"] == channel["channel_id"]
    await dashboard.assert_no_frame("channel_message")


async def test_nothing_is_published_to_a_channel_that_does_not_exist(tenant, other_tenant):
    foreign = await other_tenant.create_channel("Foreign")
    client = await tenant.create_client()
    socket = await client.connect_websocket()
    for name in ("Foreign", "new", "a.b", "*", "", UNKNOWN_ID, foreign["channel_id"]):
        for kind in ("publish", "subscribe"):
            await assert_not_found(socket, kind, channel=name)
        if name not in ("", "*"):
            for kind in ("publish", "request"):
                await assert_not_found(socket, kind, subject=f"tenant.{tenant.id}.channel.{name}")
    # A pattern may match channels that are created later.
    await socket.subscribe(subject=f"tenant.{tenant.id}.channel.*")
    channel = await tenant.create_channel("new")
    await socket.send_and_receive("publish", "published", channel="new", data=1, id=1)
    assert (await socket.receive("message"))["channel"] == channel["channel_id"]
    # The subject has the channel's id, not its name.
    await assert_not_found(socket, subject=f"tenant.{tenant.id}.channel.new")
    await socket.send_and_receive("publish", "published", subject=channel["subject"], data=2, id=2)


@pytest.mark.parametrize("by", ["channel_id", "name"])
async def test_nothing_is_published_to_a_deleted_channel(tenant, by):
    channel = await tenant.create_channel("News")
    socket = await (await tenant.create_client()).connect_websocket()
    for number in range(3):
        await socket.send_and_receive("publish", "published", channel=channel[by], data=number, id=number)
    await tenant.call("DELETE", f"/channels/{channel['channel_id']}", 200)
    await assert_not_found(socket, channel=channel[by])
    await assert_not_found(socket, subject=channel["subject"])


async def test_name_follows_its_channel(tenant):
    first = await tenant.create_channel("News")
    socket = await (await tenant.create_client()).connect_websocket()
    await socket.subscribe(channel="News")
    await tenant.call("PUT", f"/channels/{first['channel_id']}", 200, json={"name": "Olds"})
    await assert_not_found(socket, channel="News")
    second = await tenant.create_channel("News")
    await socket.subscribe(channel="News")
    await socket.send_and_receive("publish", "published", channel="News", data=2, id=2)
    await socket.send_and_receive("publish", "published", channel="Olds", data=1, id=1)
    assert (await socket.receive("message"))["channel"] == second["channel_id"]
    await socket.assert_no_frame("message")


async def test_channel_beyond_the_plan_is_not_published(tenant):
    await set_plan(tenant, "free")
    for number in range(10):
        await tenant.create_channel(f"channel {number}")
    await tenant.call("POST", "/channels", 409, json={"name": "one more"})
    socket = await (await tenant.create_client()).connect_websocket()
    await assert_not_found(socket, channel="one more")


async def test_agent_names_a_channel_or_a_plain_subject(tenant):
    channel, agent = await tenant.create_channel("news"), await LegacyAgent.register(tenant)
    socket, watcher = (
        await agent.connect_websocket(),
        await (await tenant.create_client()).connect_websocket(),
    )
    await watcher.subscribe(channel="news")
    await watcher.subscribe(subject="plain")
    for name in (channel["channel_id"], "news"):
        published = await socket.send_and_receive("publish", "published", channel=name, data=1, id=name)
        assert published["seq"]
        assert (await watcher.receive("message"))["channel"] == channel["channel_id"]
    await socket.send_and_receive("publish", "published", channel="plain", data=2, id=2)
    assert (await watcher.receive("message"))["subject"] == "plain"
    await assert_not_found(socket, channel=UNKNOWN_ID)
