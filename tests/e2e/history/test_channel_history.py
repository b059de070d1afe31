"""Stored messages of channels, read over REST."""

from artcafe_common.plans import LIMITS, Plan
from support.actors import set_plan
from support.history import connect_jetstream, publish, read_history
from support.problems import assert_rejected
from support.waiting import eventually


async def test_messages_of_every_transport_are_stored_in_order(tenant):
    channel = await tenant.create_channel()
    client = await tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    (accepted,) = await publish(tenant, channel, {"data": {"n": 1}, "headers": {"Lang": "en"}})
    await socket.send_and_receive("publish", "published", channel=channel["channel_id"], data={"n": 2}, id=2)
    await nc.publish(channel["subject"], b'{"n": 3}')
    await nc.publish(channel["subject"], b"\xff\x00")
    await nc.flush()
    page = await eventually(lambda: read_complete_history(tenant, channel, 4))
    first, second, third, fourth = page["messages"]
    assert page["next_cursor"] is None
    assert [m["data"] for m in page["messages"]] == [{"n": 1}, {"n": 2}, {"n": 3}, {"base64": "/wA="}]
    assert {m["subject"] for m in page["messages"]} == {channel["subject"]}
    assert {m["channel"] for m in page["messages"]} == {channel["channel_id"]}
    assert (first["seq"], first["message_id"]) == (accepted["seq"], accepted["message_id"])
    assert second["from"] == client.id
    assert "from" not in first
    assert "from" not in third
    assert first["seq"] < second["seq"] < third["seq"] < fourth["seq"]
    assert first["timestamp"] <= second["timestamp"] <= third["timestamp"]


async def read_complete_history(tenant, channel, count):
    """The history, or None unless it has `count` messages."""
    page = await read_history(tenant, channel)
    return page if len(page["messages"]) == count else None


async def test_history_is_read_by_page_sequence_time_and_from_its_end(tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    seqs = []
    for number in range(12):
        (accepted,) = await publish(tenant, channel, number)
        seqs.append(accepted["seq"])
        # Messages of another channel have sequence numbers in between.
        await publish(tenant, other, *(["x"] * (number % 3)))
    assert seqs == sorted(set(seqs))

    async def read(**query):
        data, cursor = [], None
        while True:
            page = await read_history(tenant, channel, **query, **({"cursor": cursor} if cursor else {}))
            data += [m["data"] for m in page["messages"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return data

    numbers = list(range(12))
    assert await read() == numbers
    assert await read(limit=5) == numbers
    assert await read(limit=12) == numbers
    for last in (1, 2, 3, 7, 11, 12, 13, 1000):
        assert await read(last=last) == numbers[-last:], last
    assert await read(last=7, limit=3) == numbers[-7:]
    assert await read(since=seqs[4]) == numbers[4:]
    assert await read(since=seqs[4] + 1, limit=2) == numbers[5:]
    assert await read(since=seqs[-1] + 1) == []
    sixth = (await read_history(tenant, channel))["messages"][6]["timestamp"]
    # The time in JetStream has nanoseconds, the timestamp in the message microseconds.
    assert await read(since=sixth) in (numbers[6:], numbers[7:])
    assert await read(since="2020-01-01T00:00:00Z") == numbers
    assert await read(since="2099-01-01T00:00:00+02:00") == []


async def test_invalid_history_queries_are_rejected(tenant, other_tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    path = f"/channels/{channel['channel_id']}/messages"
    await publish(tenant, channel, 1, 2, 3)

    async def assert_invalid(field, **query):
        problem = await assert_rejected(tenant, "GET", path, 400, "invalid_request", params=query)
        assert problem["errors"][0]["field"] == field

    await assert_invalid("since", since="yesterday")
    await assert_invalid("since", since="2026-01-01T00:00:00")
    await assert_invalid("since", since=str(10**30))
    await assert_invalid("since", since="-1")
    await assert_invalid("last", last=0)
    await assert_invalid("last", last=10_001)
    await assert_invalid("last", last=1, since=1)
    await assert_invalid("limit", limit=201)
    await assert_invalid("before", before=1)
    cursor = (await read_history(tenant, channel, limit=1))["next_cursor"]
    await assert_rejected(tenant, "GET", path, 400, "invalid_cursor", params={"cursor": cursor[:-4] + "AAAA"})
    other_path = f"/channels/{other['channel_id']}/messages"
    await assert_rejected(tenant, "GET", other_path, 400, "invalid_cursor", params={"cursor": cursor})
    foreign = await other_tenant.create_channel()
    foreign_path = f"/channels/{foreign['channel_id']}/messages"
    await assert_rejected(other_tenant, "GET", foreign_path, 400, "invalid_cursor", params={"cursor": cursor})
    assert (await read_history(other_tenant, foreign))["messages"] == []


async def test_pages_are_limited_in_bytes(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, *([{"blob": "x" * 900_000, "n": n}] * 1 for n in range(7)))
    page = await read_history(tenant, channel)
    assert 1 <= len(page["messages"]) < 7
    rest = await read_history(tenant, channel, cursor=page["next_cursor"])
    assert len(page["messages"]) + len(rest["messages"]) == 7


async def test_publish_over_rest_ignores_replies_of_subscribers(tenant):
    """It waits only for the acknowledgement of the broker."""
    channel = await tenant.create_channel()
    client = await tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    await socket.subscribe(channel=channel["channel_id"])

    async def reply(message):
        if message.reply:
            await message.respond(b'{"stream": "OTHER", "seq": 77}')
            await message.respond(b"not json")

    await nc.subscribe(channel["subject"], cb=reply)
    await nc.flush()
    for _ in range(5):
        (accepted,) = await publish(tenant, channel, "hello")
        assert accepted["seq"] < 77
    assert "reply" not in await socket.receive("message")


async def test_deleting_a_channel_purges_its_messages(tenant):
    channel, other = await tenant.create_channel(), await tenant.create_channel()
    await publish(tenant, channel, 1, 2)
    await publish(tenant, other, 3)
    js = await connect_jetstream(tenant)
    await tenant.call("DELETE", f"/channels/{channel['channel_id']}", 200)

    async def is_purged():
        info = await js.stream_info("CHANNELS", subjects_filter=">")
        return set(info.state.subjects or {}) == {other["subject"]}

    await eventually(is_purged)
    assert [m["data"] for m in (await read_history(tenant, other))["messages"]] == [3]


async def test_channel_without_storage_in_the_plan_has_no_history(tenant):
    await set_plan(tenant, "free")
    storage = LIMITS[Plan.FREE].storage_bytes
    body = {"name": "All", "pattern": "all.>", "retention": {"max_bytes": storage}}
    await tenant.call("POST", "/subjects", 201, json=body)
    channel = await tenant.create_channel()
    assert not channel["has_history"]
    socket = await (await tenant.create_client()).connect_websocket()
    await socket.subscribe(channel=channel["channel_id"])
    (accepted,) = await publish(tenant, channel, "live")
    assert "seq" not in accepted
    assert (await socket.receive("message"))["data"] == "live"
    path = f"/channels/{channel['channel_id']}/messages"
    await assert_rejected(tenant, "GET", path, 501, "history_unavailable")


async def test_reading_history_is_not_counted_as_messages(tenant):
    channel = await tenant.create_channel()
    await publish(tenant, channel, 1, 2, 3)
    for _ in range(5):
        await read_history(tenant, channel, last=2)

    async def only_published_counted():
        return (await tenant.call("GET", "/usage/current", 200))["messages"]["used"] == 3

    await eventually(only_published_counted)
