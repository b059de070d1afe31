"""Channel records, and the subscribers of a channel."""

import asyncio

from support.history import list_subscribers
from support.problems import assert_rejected
from support.waiting import eventually


async def test_channel_is_created_updated_and_deleted(tenant, other_tenant):
    channel = await tenant.call(
        "POST", "/channels", 201, json={"name": "News", "description": "All of it", "metadata": {"a": 1}}
    )
    path = f"/channels/{channel['channel_id']}"
    changed = await tenant.call("PUT", path, 200, json={"name": "Old news", "metadata": {"b": [2]}})
    assert (changed["name"], changed["description"], changed["metadata"]) == (
        "Old news",
        "All of it",
        {"b": [2]},
    )
    assert (changed["channel_id"], changed["subject"]) == (channel["channel_id"], channel["subject"])
    assert await tenant.call("GET", path, 200) == changed
    await tenant.create_channel("Other")
    await assert_rejected(tenant, "PUT", path, 409, "name_taken", json={"name": "OTHER"})
    await assert_rejected(tenant, "PUT", path, 400, "invalid_request", json={"subject": "x"})
    for method, body in (("GET", None), ("PUT", {"name": "Mine"}), ("DELETE", None)):
        await assert_rejected(other_tenant, method, path, 404, "channel_not_found", json=body)
    for what in ("messages", "subscribers"):
        await assert_rejected(other_tenant, "GET", f"{path}/{what}", 404, "channel_not_found")
    assert (await tenant.call("DELETE", path, 200))["channel_id"] == channel["channel_id"]
    for method, where in (
        ("GET", path),
        ("DELETE", path),
        ("GET", f"{path}/messages"),
        ("GET", f"{path}/subscribers"),
    ):
        await assert_rejected(tenant, method, where, 404, "channel_not_found")
    await assert_rejected(tenant, "POST", f"{path}/messages", 404, "channel_not_found", json=1)
    # The name can be used again.
    await tenant.create_channel("Old news")


async def test_subscribers_are_listed_with_connections_and_remembered(tenant, other_tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    a, b, c = [await tenant.create_client() for _ in range(3)]
    assert await list_subscribers(tenant, channel) == []
    first, second, third = (
        await a.connect_websocket(),
        await a.connect_websocket(),
        await b.connect_websocket(),
    )
    for socket in (first, second, third):
        await socket.subscribe(channel=channel["channel_id"])
    # A second subscription to the channel by subject: one socket is one connection.
    await first.subscribe(subject=channel["subject"])
    await (await c.connect_websocket()).subscribe(channel=other["channel_id"])

    async def connections_by_client():
        return [(s["client_id"], s["connections"]) for s in await list_subscribers(tenant, channel)]

    assert await connections_by_client() == sorted([(a.id, 2), (b.id, 1)])
    await first.close()
    await third.send_and_receive("unsubscribe", "unsubscribed", channel=channel["channel_id"])

    async def disconnected_are_listed():
        found = await list_subscribers(tenant, channel)
        state = [(s["client_id"], s["connections"]) for s in found]
        return state == sorted([(a.id, 1), (b.id, 0)]) and all(s["subscribed_at"] for s in found)

    # Clients stay in the list after they unsubscribe.
    await eventually(disconnected_are_listed)
    # A subscription of another organization to the same channel id is not listed.
    socket = await (await other_tenant.create_client()).connect_websocket()
    await socket.subscribe(subject=f"tenant.{other_tenant.id}.channel.{channel['channel_id']}")
    await asyncio.sleep(0.3)
    assert {s["client_id"] for s in await list_subscribers(tenant, channel)} == {a.id, b.id}
    # Deleted clients are removed.
    await tenant.call("DELETE", f"/clients/{b.id}", 200)

    async def is_removed():
        return [s["client_id"] for s in await list_subscribers(tenant, channel)] == [a.id]

    await eventually(is_removed)


async def test_subscribers_are_paged_without_gaps_or_duplicates(tenant):
    channel = await tenant.create_channel()
    clients = [await tenant.create_client() for _ in range(7)]
    sockets = [await client.connect_websocket() for client in clients]
    for socket in sockets:
        await socket.subscribe(channel=channel["channel_id"])

    async def all_recorded():
        found = await list_subscribers(tenant, channel)
        return len(found) == 7 and all(s["subscribed_at"] for s in found)

    await eventually(all_recorded)
    for socket in sockets[::2]:
        await socket.close()
    path, listed, cursor = f"/channels/{channel['channel_id']}/subscribers", [], None
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = await tenant.call("GET", path, 200, params=query)
        assert len(page["subscribers"]) <= 3
        listed += [s["client_id"] for s in page["subscribers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed == sorted(client.id for client in clients)
    await assert_rejected(tenant, "GET", path, 400, "invalid_request", params={"live": "{}"})
    await assert_rejected(tenant, "GET", path, 400, "invalid_cursor", params={"cursor": "AAAA"})
