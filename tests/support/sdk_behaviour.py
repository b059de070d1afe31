"""What the Python SDK does for its users, whatever is behind it: the real stack or the server in memory.

A module that subclasses `ClientBehaviour` has a fixture `world` with `connect(**options)` (an opened client), `channel()`
(a channel's id) and `cut(client)` (breaks its connection).
"""

import asyncio

import pytest

from artcafe_client import ClientClosed, Offline, Overflow, State
from artcafe_client.error_codes import (
    BadSubject,
    ChannelNotFound,
    ForbiddenSubject,
    NoResponders,
    RequestTimeout,
)
from support.waiting import QUIET_PERIOD_S, eventually

WITHIN_S = 10


async def take(subscription, count):
    """The data of the next messages."""
    return [(await subscription.next(WITHIN_S)).data for _ in range(count)]


async def assert_quiet(subscription):
    await asyncio.sleep(QUIET_PERIOD_S / 4)
    assert subscription.pending == 0


class ClientBehaviour:
    async def test_subscribers_receive_what_matches_in_order(self, world):
        one, other = await world.connect(), await world.connect()
        wide, narrow = await other.subscribe("orders.>"), await other.subscribe("orders.*.new")
        for number in range(20):
            await one.publish(f"orders.{number % 2}.new", {"n": number})
        await one.publish("orders.old", "end", headers={"Lang": "en"})
        received = [await wide.next(WITHIN_S) for _ in range(21)]
        assert [message.data for message in received] == [*({"n": n} for n in range(20)), "end"]
        assert received[-1].subject == "orders.old"
        assert received[-1].headers == {"Lang": "en"}
        assert await take(narrow, 20) == [{"n": n} for n in range(20)]
        await assert_quiet(narrow)

    async def test_three_spellings_are_one_name(self, world):
        client = await world.connect()
        tid = client.tenant_id
        spellings = ("a.b", f"{tid}.a.b", f"tenant.{tid}.a.b")
        subscriptions = [await client.subscribe(each) for each in spellings]
        for each in spellings:
            await client.publish(each, each)
        for spelling, subscription in zip(spellings, subscriptions, strict=True):
            received = [await subscription.next(WITHIN_S) for _ in spellings]
            assert [message.data for message in received] == list(spellings)
            assert {message.subject for message in received} == {spelling}

    async def test_unconfirmed_messages_arrive_before_flush_returns(self, world):
        client = await world.connect()
        subscription = await client.subscribe("fast")
        for number in range(500):
            await client.publish("fast", number, confirm=False)
        await client.flush()
        assert await take(subscription, 500) == list(range(500))

    async def test_every_kind_of_data(self, world):
        client = await world.connect()
        subscription = await client.subscribe("data")
        values = [None, True, 2**53 + 1, 1.5, 'ü\n"', [], {"a": [{}]}]
        for value in values:
            await client.publish("data", value)
        assert await take(subscription, len(values)) == values
        await client.publish("data", b"\x00\xff")
        assert (await subscription.next(WITHIN_S)).bytes == b"\x00\xff"

    async def test_errors_have_classes(self, world):
        client = await world.connect()
        with pytest.raises(BadSubject):
            await client.publish("a..b", 1)
        with pytest.raises(ForbiddenSubject):
            await client.publish("$SYS.x", 1)
        with pytest.raises(ChannelNotFound):
            await client.channel("no such channel").publish(1)
        with pytest.raises(BadSubject):
            await client.subscribe("a.>.b")

    async def test_members_of_a_queue_share_the_messages(self, world):
        one, other = await world.connect(), await world.connect()
        members = [await each.subscribe("work.>", queue="workers") for each in (one, other)]
        observer = await other.subscribe("work.>")
        for number in range(40):
            await one.publish("work.x", number)
        assert await take(observer, 40) == list(range(40))
        await eventually(lambda: sum(each.pending for each in members) == 40)
        shared = [await take(each, each.pending) for each in members]
        assert sorted(shared[0] + shared[1]) == list(range(40))

    # -- channels ------------------------------------------------------------------------------

    async def test_channel_is_stored_and_read_from_any_place(self, world):
        client, channel_id = await world.connect(), await world.channel()
        channel = client.channel(channel_id)
        live = await channel.subscribe()
        acks = [await channel.publish(number) for number in range(5)]
        seqs = [ack.seq for ack in acks]
        assert seqs == sorted(set(seqs))
        received = [await live.next(WITHIN_S) for _ in range(5)]
        assert [(m.data, m.seq, m.channel) for m in received] == [(n, seqs[n], channel_id) for n in range(5)]
        other = (await world.connect()).channel(channel_id)
        resumed = await other.subscribe(resume_from=seqs[1])
        assert await take(resumed, 3) == [2, 3, 4]
        latest = await (await world.connect()).channel(channel_id).subscribe(last=2)
        assert await take(latest, 2) == [3, 4]
        await channel.publish("more")
        for each in (resumed, latest, live):
            assert await take(each, 1) == ["more"]
            await assert_quiet(each)

    async def test_subscriptions_of_one_client_read_a_channel_from_different_places(self, world):
        client, channel_id = await world.connect(), await world.channel()
        channel = client.channel(channel_id)
        seqs = [(await channel.publish(number)).seq for number in range(5)]
        # The later ones begin while the first one is still reading.
        begun = (
            channel.subscribe(resume_from=seqs[0]),
            channel.subscribe(last=1),
            channel.subscribe(),
            channel.subscribe(resume_from=seqs[2]),
        )
        resumed, latest, live, later = [await each for each in begun]
        await channel.publish(5)
        assert await take(resumed, 5) == [1, 2, 3, 4, 5]
        assert await take(latest, 2) == [4, 5]
        assert await take(live, 1) == [5]
        assert await take(later, 3) == [3, 4, 5]
        for each in (resumed, latest, live, later):
            await assert_quiet(each)

    async def test_message_id_is_stored_once(self, world):
        client, channel_id = await world.connect(), await world.channel()
        channel = client.channel(channel_id)
        subscription = await channel.subscribe()
        first = await channel.publish(1, message_id="order-1")
        again = await channel.publish(1, message_id="order-1")
        assert (again.seq, again.duplicate) == (first.seq, True)
        assert not (await channel.publish(2)).duplicate
        assert await take(subscription, 2) == [1, 2]

    async def test_channel_continues_without_gap_or_double(self, world):
        reader, writer, channel_id = await world.connect(), await world.connect(), await world.channel()
        channel = writer.channel(channel_id)
        subscription = await reader.channel(channel_id).subscribe()
        await channel.publish(0)
        assert await take(subscription, 1) == [0]
        for cut in range(3):
            await world.cut(reader)
            for number in range(1 + cut * 3, 4 + cut * 3):
                await channel.publish(number)
            await reader.wait_connected()
        assert await take(subscription, 9) == list(range(1, 10))
        await assert_quiet(subscription)

    async def test_channel_continues_when_the_connection_breaks_before_the_first_message(self, world):
        reader, writer, channel_id = await world.connect(), await world.connect(), await world.channel()
        await writer.channel(channel_id).publish("before")
        subscription = await reader.channel(channel_id).subscribe()
        await world.cut(reader)
        await writer.channel(channel_id).publish("meanwhile")
        await reader.wait_connected()
        await writer.channel(channel_id).publish("after")
        assert await take(subscription, 2) == ["meanwhile", "after"]

    async def test_slow_reader_of_a_channel_loses_nothing(self, world):
        client, channel_id = await world.connect(), await world.channel()
        writer = (await world.connect()).channel(channel_id)
        subscription = await client.channel(channel_id).subscribe(max_pending=10)
        for number in range(60):
            await writer.publish(number)
        assert subscription.pending <= 10
        assert await take(subscription, 60) == list(range(60))
        assert subscription.dropped == 0

    async def test_slow_reader_of_a_subject_loses_the_oldest_and_is_told(self, world):
        client = await world.connect()
        subscription = await client.subscribe("flood", max_pending=10)
        newest = await client.subscribe("flood", max_pending=10, overflow=Overflow.DROP_NEWEST)
        other = await client.subscribe("flood")
        for number in range(30):
            await client.publish("flood", number)
        assert await take(other, 30) == list(range(30))
        await eventually(lambda: subscription.dropped == newest.dropped == 20)
        assert await take(subscription, 10) == list(range(20, 30))
        assert await take(newest, 10) == list(range(10))

    # -- requests ------------------------------------------------------------------------------

    async def test_request_is_answered(self, world):
        client, asker = await world.connect(), await world.connect()

        @client.respond("ask")
        async def answer(message):
            return {"a": message.data["q"] * 7}

        async def ask():
            try:
                return await asker.request("ask", {"q": 6}, timeout=0.5)
            except (NoResponders, RequestTimeout):
                return None

        reply = await eventually(ask)
        assert reply.data == {"a": 42}
        replies = await asyncio.gather(*(asker.request("ask", {"q": n}, timeout=5) for n in range(20)))
        assert [each.data["a"] for each in replies] == [n * 7 for n in range(20)]

    async def test_request_without_an_answer_fails(self, world):
        client, asker = await world.connect(), await world.connect()
        with pytest.raises(NoResponders):
            await asker.request("nobody", 1, timeout=2)
        await client.subscribe("silent")
        with pytest.raises(RequestTimeout):
            await asker.request("silent", 1, timeout=0.2)

    async def test_responder_answers_again_after_a_loss(self, world):
        client, asker = await world.connect(), await world.connect()

        @client.respond("ask")
        async def answer(message):
            return message.data

        await world.cut(client)
        await client.wait_connected()
        assert (await asker.request("ask", 1, timeout=5)).data == 1

    # -- losses and the end --------------------------------------------------------------------

    async def test_publishing_offline_waits_in_the_buffer(self, world):
        reader, channel_id = await world.connect(), await world.channel()
        writer = await world.connect(offline=Offline(messages=10))
        subscription = await reader.channel(channel_id).subscribe()
        await world.cut(writer)
        acks = await asyncio.gather(*(writer.channel(channel_id).publish(number) for number in range(5)))
        assert len({ack.seq for ack in acks}) == 5
        assert sorted(await take(subscription, 5)) == list(range(5))
        await assert_quiet(subscription)

    async def test_drain_hands_out_what_arrived_and_lets_handlers_finish(self, world):
        client, other = await world.connect(), await world.connect()
        subscription = await client.subscribe("last")
        began, finish = asyncio.Event(), asyncio.Event()

        @client.respond("slow")
        async def answer(message):
            began.set()
            await finish.wait()
            return "done"

        async def read():
            return [message.data async for message in subscription]

        for number in range(5):
            await other.publish("last", number)
        await eventually(lambda: subscription.pending == 5)
        reading = asyncio.ensure_future(read())

        async def ask():
            while True:
                try:
                    return await other.request("slow", 1, timeout=5)
                except (NoResponders, RequestTimeout):
                    await asyncio.sleep(0.02)

        asking = asyncio.ensure_future(ask())
        await asyncio.wait_for(began.wait(), WITHIN_S)
        draining = asyncio.ensure_future(client.drain())
        await eventually(lambda: client.state is State.DRAINING)
        finish.set()
        await draining
        assert await reading == [0, 1, 2, 3, 4]
        assert (await asking).data == "done"
        assert client.state is State.CLOSED
        with pytest.raises(ClientClosed):
            await client.publish("x", 1)

    async def test_state_can_be_watched(self, world):
        seen = []
        client = await world.connect(on_state=seen.append)
        await world.cut(client)
        await client.wait_connected()
        await client.close()
        names = [State.CONNECTING, State.CONNECTED, State.DISCONNECTED, State.CONNECTING, State.CONNECTED]
        assert [*seen[:5], seen[-1]] == [*names, State.CLOSED]
