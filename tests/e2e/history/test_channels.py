"""Channels: their life, who listens to them, and what they keep."""

import asyncio

import pytest

from artcafe_common.plans import LIMITS, Plan
from support.actors import User, set_plan
from support.waiting import eventually


async def refused(tenant, method, path, status, code, **options):
    answer = await tenant.http.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


async def publish(tenant, channel, *messages):
    path = f"/channels/{channel['channel_id']}/messages"
    return [await tenant.call("POST", path, 202, json=message) for message in messages]


async def history(tenant, channel, **query):
    return await tenant.call("GET", f"/channels/{channel['channel_id']}/messages", 200, params=query)


async def subscribers(tenant, channel, **query):
    path = f"/channels/{channel['channel_id']}/subscribers"
    return (await tenant.call("GET", path, 200, params=query))["subscribers"]


# -- the record --------------------------------------------------------------------------------------


async def test_a_channel_through_its_life(tenant, other_tenant):
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
    await refused(tenant, "PUT", path, 409, "name_taken", json={"name": "OTHER"})
    await refused(tenant, "PUT", path, 400, "invalid_request", json={"subject": "x"})
    for method, body in (("GET", None), ("PUT", {"name": "Mine"}), ("DELETE", None)):
        await refused(other_tenant, method, path, 404, "channel_not_found", json=body)
    for what in ("messages", "subscribers"):
        await refused(other_tenant, "GET", f"{path}/{what}", 404, "channel_not_found")
    assert (await tenant.call("DELETE", path, 200))["channel_id"] == channel["channel_id"]
    for method, where in (
        ("GET", path),
        ("DELETE", path),
        ("GET", f"{path}/messages"),
        ("GET", f"{path}/subscribers"),
    ):
        await refused(tenant, method, where, 404, "channel_not_found")
    await refused(tenant, "POST", f"{path}/messages", 404, "channel_not_found", json=1)
    # The name is free again.
    await tenant.create_channel("Old news")


# -- what is kept ------------------------------------------------------------------------------------


async def test_whoever_publishes_it_is_kept_in_order(tenant):
    channel = await tenant.create_channel()
    agent = await tenant.create_client()
    socket, nc = await agent.connect_websocket(), await agent.connect_nats()
    (accepted,) = await publish(tenant, channel, {"data": {"n": 1}, "headers": {"Lang": "en"}})
    await socket.send_and_receive("publish", "published", channel=channel["channel_id"], data={"n": 2}, id=2)
    await nc.publish(channel["subject"], b'{"n": 3}')
    await nc.publish(channel["subject"], b"\xff\x00")
    await nc.flush()
    page = await eventually(lambda: _all_of(tenant, channel, 4))
    first, second, third, fourth = page["messages"]
    assert page["next_cursor"] is None
    assert [m["data"] for m in page["messages"]] == [{"n": 1}, {"n": 2}, {"n": 3}, {"base64": "/wA="}]
    assert {m["subject"] for m in page["messages"]} == {channel["subject"]}
    assert {m["channel"] for m in page["messages"]} == {channel["channel_id"]}
    assert (first["seq"], first["message_id"]) == (accepted["seq"], accepted["message_id"])
    assert second["from"] == agent.id
    assert "from" not in first
    assert "from" not in third
    assert first["seq"] < second["seq"] < third["seq"] < fourth["seq"]
    assert first["timestamp"] <= second["timestamp"] <= third["timestamp"]


async def _all_of(tenant, channel, count):
    page = await history(tenant, channel)
    return page if len(page["messages"]) == count else None


async def test_a_history_is_read_by_page_by_place_by_time_and_from_its_end(tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    seqs = []
    for number in range(12):
        (accepted,) = await publish(tenant, channel, number)
        seqs.append(accepted["seq"])
        # Another channel's messages stand between them.
        await publish(tenant, other, *(["x"] * (number % 3)))
    assert seqs == sorted(set(seqs))

    async def read(**query):
        found, cursor = [], None
        while True:
            page = await history(tenant, channel, **query, **({"cursor": cursor} if cursor else {}))
            found += [m["data"] for m in page["messages"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    everything = list(range(12))
    assert await read() == everything
    assert await read(limit=5) == everything
    assert await read(limit=12) == everything
    for last in (1, 2, 3, 7, 11, 12, 13, 1000):
        assert await read(last=last) == everything[-last:], last
    assert await read(last=7, limit=3) == everything[-7:]
    assert await read(since=seqs[4]) == everything[4:]
    assert await read(since=seqs[4] + 1, limit=2) == everything[5:]
    assert await read(since=seqs[-1] + 1) == []
    sixth = (await history(tenant, channel))["messages"][6]["timestamp"]
    # A time may stand between two microseconds of ours.
    assert await read(since=sixth) in (everything[6:], everything[7:])
    assert await read(since="2020-01-01T00:00:00Z") == everything
    assert await read(since="2099-01-01T00:00:00+02:00") == []


async def test_a_history_that_makes_no_sense_is_refused(tenant, other_tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    path = f"/channels/{channel['channel_id']}/messages"
    await publish(tenant, channel, 1, 2, 3)

    async def bad(field, **query):
        answer = await refused(tenant, "GET", path, 400, "invalid_request", params=query)
        assert answer["errors"][0]["field"] == field

    await bad("since", since="yesterday")
    await bad("since", since="2026-01-01T00:00:00")
    await bad("since", since=str(10**30))
    await bad("since", since="-1")
    await bad("last", last=0)
    await bad("last", last=10_001)
    await bad("last", last=1, since=1)
    await bad("limit", limit=201)
    await bad("before", before=1)
    cursor = (await history(tenant, channel, limit=1))["next_cursor"]
    await refused(tenant, "GET", path, 400, "invalid_cursor", params={"cursor": cursor[:-4] + "AAAA"})
    elsewhere = f"/channels/{other['channel_id']}/messages"
    await refused(tenant, "GET", elsewhere, 400, "invalid_cursor", params={"cursor": cursor})
    theirs = await other_tenant.create_channel()
    elsewhere = f"/channels/{theirs['channel_id']}/messages"
    await refused(other_tenant, "GET", elsewhere, 400, "invalid_cursor", params={"cursor": cursor})
    assert (await history(other_tenant, theirs))["messages"] == []


async def test_large_messages_make_small_pages(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, *([{"blob": "x" * 900_000, "n": n}] * 1 for n in range(7)))
    page = await history(tenant, channel)
    assert 1 <= len(page["messages"]) < 7
    rest = await history(tenant, channel, cursor=page["next_cursor"])
    assert len(page["messages"]) + len(rest["messages"]) == 7


async def test_who_hears_a_message_is_not_asked_for_an_answer(tenant):
    """Publishing over REST waits for the broker's word alone, whatever listeners say."""
    channel = await tenant.create_channel()
    agent = await tenant.create_client()
    socket, nc = await agent.connect_websocket(), await agent.connect_nats()
    await socket.subscribe(channel=channel["channel_id"])

    async def babble(message):
        if message.reply:
            await message.respond(b'{"stream": "OTHER", "seq": 77}')
            await message.respond(b"not json")

    await nc.subscribe(channel["subject"], cb=babble)
    await nc.flush()
    for _ in range(5):
        (accepted,) = await publish(tenant, channel, "hello")
        assert accepted["seq"] < 77
    assert "reply" not in await socket.receive("message")


async def test_a_deleted_channels_messages_are_gone(tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    await publish(tenant, channel, 1, 2)
    await publish(tenant, other, 3)
    js = (await (await tenant.create_client()).connect_nats()).jetstream()
    await tenant.call("DELETE", f"/channels/{channel['channel_id']}", 200)

    async def purged():
        info = await js.stream_info("CHANNELS", subjects_filter=">")
        return set(info.state.subjects or {}) == {other["subject"]}

    await eventually(purged)
    assert [m["data"] for m in (await history(tenant, other))["messages"]] == [3]


async def test_without_room_in_the_plan_a_channel_has_no_history_and_works(tenant):
    await set_plan(tenant, "free")
    storage = LIMITS[Plan.FREE].storage_bytes
    body = {"name": "All", "pattern": "all.>", "retention": {"max_bytes": storage}}
    await tenant.call("POST", "/subjects", 201, json=body)
    channel = await tenant.create_channel()
    socket = await (await tenant.create_client()).connect_websocket()
    await socket.subscribe(channel=channel["channel_id"])
    (accepted,) = await publish(tenant, channel, "live")
    assert "seq" not in accepted
    assert (await socket.receive("message"))["data"] == "live"
    path = f"/channels/{channel['channel_id']}/messages"
    await refused(tenant, "GET", path, 501, "history_unavailable")


async def test_reading_is_no_traffic(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1, 2, 3)
    for _ in range(5):
        await history(tenant, channel, last=2)

    async def used():
        return (await tenant.call("GET", "/usage/current", 200))["messages"]["used"] == 3

    await eventually(used)


# -- who listens -------------------------------------------------------------------------------------


async def test_live_subscribers_are_told_and_remembered(tenant, other_tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    a, b, c = [await tenant.create_client() for _ in range(3)]
    assert await subscribers(tenant, channel) == []
    first, second, third = (
        await a.connect_websocket(),
        await a.connect_websocket(),
        await b.connect_websocket(),
    )
    for socket in (first, second, third):
        await socket.subscribe(channel=channel["channel_id"])
    # The same name once more, in the other spelling: one socket is one connection.
    await first.subscribe(subject=channel["subject"])
    await (await c.connect_websocket()).subscribe(channel=other["channel_id"])

    async def now():
        return [(s["client_id"], s["connections"]) for s in await subscribers(tenant, channel)]

    assert await now() == sorted([(a.id, 2), (b.id, 1)])
    await first.close()
    await third.send_and_receive("unsubscribe", "unsubscribed", channel=channel["channel_id"])

    async def fewer():
        found = await subscribers(tenant, channel)
        state = [(s["client_id"], s["connections"]) for s in found]
        return state == sorted([(a.id, 1), (b.id, 0)]) and all(s["subscribed_at"] for s in found)

    # Both are remembered, whoever is still there.
    await eventually(fewer)
    # A stranger's subscription to the same name is in another world.
    socket = await (await other_tenant.create_client()).connect_websocket()
    await socket.subscribe(channel=channel["channel_id"])
    await asyncio.sleep(0.3)
    assert {s["client_id"] for s in await subscribers(tenant, channel)} == {a.id, b.id}
    # Who is deleted is forgotten.
    await tenant.call("DELETE", f"/clients/{b.id}", 200)

    async def forgotten():
        return [s["client_id"] for s in await subscribers(tenant, channel)] == [a.id]

    await eventually(forgotten)


async def test_subscribers_are_paged_without_gap_or_double(tenant):
    channel = await tenant.create_channel()
    agents = [await tenant.create_client() for _ in range(7)]
    sockets = [await agent.connect_websocket() for agent in agents]
    for socket in sockets:
        await socket.subscribe(channel=channel["channel_id"])

    async def recorded():
        found = await subscribers(tenant, channel)
        return len(found) == 7 and all(s["subscribed_at"] for s in found)

    await eventually(recorded)
    for socket in sockets[::2]:
        await socket.close()
    path, seen, cursor = f"/channels/{channel['channel_id']}/subscribers", [], None
    while True:
        query = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = await tenant.call("GET", path, 200, params=query)
        assert len(page["subscribers"]) <= 3
        seen += [s["client_id"] for s in page["subscribers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(agent.id for agent in agents)
    await refused(tenant, "GET", path, 400, "invalid_request", params={"live": "{}"})
    await refused(tenant, "GET", path, 400, "invalid_cursor", params={"cursor": "AAAA"})


# -- any part may die --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def own_stack(new_stack):
    """A stack with two gateway processes, whose parts are killed."""
    settings = {"ARTCAFE_GATEWAY_WORKERS": "2"}
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(own_stack):
    return await (await User.sign_up(own_stack)).create_organization()


async def healthy(org):
    async def ok():
        return (await org.http.get("/health")).json()["status"] == "ok"

    await eventually(ok, within=30)


async def test_every_gateway_process_tells_of_its_own(own_stack, org):
    channel = await org.create_channel()
    agents = [await org.create_client() for _ in range(8)]
    for agent in agents:
        await (await agent.connect_websocket()).subscribe(channel=channel["channel_id"])
    for _ in range(6):
        found = await subscribers(org, channel)
        assert [(s["client_id"], s["connections"]) for s in found] == sorted((a.id, 1) for a in agents)


async def test_history_outlives_broker_and_services(own_stack, org):
    channel = await org.create_channel()
    for number, victim in enumerate(("nats", "tenancy", "identity")):
        (accepted,) = await publish(org, channel, number)
        assert "seq" in accepted
        own_stack.supervisor.kill(victim)
        await healthy(org)

        async def through(number=number):
            path = f"/channels/{channel['channel_id']}/messages"
            return (await org.http.post(path, json=number + 100)).status_code == 202

        await eventually(through, within=20)
    page = await history(org, channel)
    kept = [m["data"] for m in page["messages"]]
    assert [each for each in kept if each < 100] == [0, 1, 2]
    assert {100, 101, 102} <= set(kept)


async def test_a_channel_made_while_identity_is_away_gets_its_history_later(own_stack, org):
    await org.call("GET", "/channels", 200)
    await own_stack.supervisor.stop("identity")
    # Nobody new may come in without identity, but who was there a moment ago may work on.
    answer = await org.http.post("/channels", json={"name": "Late"}, timeout=30)
    own_stack.start("identity")
    await healthy(org)
    assert answer.status_code == 201, answer.text
    channel = answer.json()

    async def kept():
        (accepted,) = await publish(org, channel, "now")
        return "seq" in accepted

    await eventually(kept, within=60, every=0.5)
