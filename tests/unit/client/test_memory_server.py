"""The behaviour of the SDK on the server in memory, and what only that server can do on demand."""

import asyncio

import pytest

from artcafe_client import (
    AccessRevoked,
    ConnectionFailed,
    Gap,
    NotConnected,
    Offline,
    OfflineBufferFull,
    Overflow,
    SlowSubscriber,
    State,
)
from artcafe_client import client as client_module
from artcafe_client.error_codes import (
    AuthenticationFailed,
    ChannelNotFound,
    PublishUncertain,
    StoreUnavailable,
)
from artcafe_client.testing import MemoryServer
from support.cleanup import close_after_test
from support.sdk_behaviour import ClientBehaviour, take
from support.waiting import eventually


class MemoryWorld:
    def __init__(self):
        self.server = MemoryServer()
        self.clients = 0

    async def connect(self, **options):
        self.clients += 1
        client = self.server.connect(f"client-{self.clients}", **options)
        client.name = f"client-{self.clients}"
        close_after_test(client, client.close)
        return await client.open()

    async def channel(self):
        return self.server.create_channel(f"channel {self.clients}")

    async def cut(self, client):
        self.server.disconnect(client.name)
        await eventually(lambda: client.transport == "", every=0.001)


@pytest.fixture
def world():
    return MemoryWorld()


@pytest.fixture
def server():
    return MemoryServer(keep=3)


class TestMemoryServer(ClientBehaviour):
    async def test_roster_shows_what_clients_report(self, world):
        client, other = await world.connect(), await world.connect()
        await client.presence.update(status="healthy", capabilities=["search"])
        await client.presence.update(metadata={"zone": "b"})
        first, second = await other.presence.roster()
        assert first == {
            "client_id": "client-1",
            "status": "healthy",
            "capabilities": ["search"],
            "metadata": {"zone": "b"},
        }
        assert second == {"client_id": "client-2", "status": "online"}


async def test_heartbeats_are_sent_while_handlers_are_busy(server):
    async with server.connect("agent") as client:
        await client.presence.update(status="busy")
        subscription = await client.subscribe("x")
        await client.publish("x", 1)
        await eventually(lambda: server.heartbeats["agent"] >= 2)
        assert server.presence["agent"].status == "busy"
        assert subscription.pending == 1


async def test_gap_is_raised_once_before_what_is_kept(server):
    channel_id = server.create_channel("news")
    async with server.connect("writer") as writer, server.connect("reader") as reader:
        for number in range(6):
            await writer.channel("news").publish(number)
        subscription = reader.channel("news").subscribe(resume_from=1)
        with pytest.raises(Gap) as raised:
            await subscription.next(1)
        assert (raised.value.channel, raised.value.from_seq, raised.value.to_seq) == ("news", 2, 3)
        assert await take(subscription, 3) == [3, 4, 5]
        gaps = []
        told = reader.channel(channel_id).subscribe(resume_from=0, on_gap=gaps.append)
        assert await take(told, 3) == [3, 4, 5]
        assert [(gap.from_seq, gap.to_seq) for gap in gaps] == [(1, 3)]


async def test_gap_of_a_long_outage_is_told(server):
    server.create_channel("news")
    async with server.connect("writer") as writer, server.connect("reader") as reader:
        subscription = await reader.channel("news").subscribe()
        await writer.channel("news").publish(0)
        assert await take(subscription, 1) == [0]
        server.disconnect("reader", retry_after_s=0.2)
        for number in range(1, 6):
            await writer.channel("news").publish(number)
        with pytest.raises(Gap):
            await subscription.next(1)
        assert await take(subscription, 3) == [3, 4, 5]


async def test_publishing_offline_fails_fast(server):
    async with server.connect("agent") as client:
        server.stop()
        await eventually(lambda: client.transport == "")
        with pytest.raises(NotConnected):
            await client.publish("x", 1)
        server.start()
        await client.wait_connected()
        await client.publish("x", 1)


async def test_buffer_is_bounded(server):
    server.create_channel("news")
    async with server.connect("agent", offline=Offline(messages=2)) as client:
        server.stop()
        await eventually(lambda: client.transport == "")
        waiting = [asyncio.ensure_future(client.channel("news").publish(n)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OfflineBufferFull):
            await client.channel("news").publish(3)
        server.start()
        assert [(await each).seq for each in waiting] == [1, 2]
    async with server.connect("agent", offline=Offline(messages=2, bytes=10)) as client:
        server.stop()
        await eventually(lambda: client.transport == "")
        with pytest.raises(OfflineBufferFull):
            await client.publish("x", "a longer text")
        server.start()


async def test_lost_acknowledgement_is_uncertain_and_carries_the_id(server):
    server.create_channel("news")
    async with server.connect("agent") as client:
        channel = client.channel("news")
        server.lose_next_ack()
        with pytest.raises(PublishUncertain) as raised:
            await channel.publish(1)
        await client.wait_connected()
        again = await channel.publish(1, message_id=raised.value.message_id)
        assert again.duplicate
    assert server.history("news") == [b"1"]


async def test_lost_acknowledgement_is_repeated_by_the_buffer(server):
    server.create_channel("news")
    async with server.connect("agent", offline=Offline(messages=5)) as client:
        server.lose_next_ack()
        assert (await client.channel("news").publish(1)).duplicate
    assert server.history("news") == [b"1"]


async def test_buffer_publishes_nothing_again_whose_id_may_be_forgotten(server, monkeypatch):
    monkeypatch.setattr(client_module, "REPEAT_WITHIN_S", 0.0)
    server.create_channel("news")
    async with server.connect("agent", offline=Offline(messages=5)) as client:
        server.lose_next_ack()
        with pytest.raises(PublishUncertain) as raised:
            await client.channel("news").publish(1)
        assert raised.value.message_id
    assert server.history("news") == [b"1"]


async def test_buffer_publishes_again_after_an_error_that_passes(server):
    server.create_channel("news")
    async with server.connect("agent", offline=Offline(messages=5)) as client:
        server.fail_next_publish("publish_uncertain")
        assert (await client.channel("news").publish(1)).seq == 1
    async with server.connect("agent") as client:
        server.fail_next_publish("store_unavailable")
        with pytest.raises(StoreUnavailable) as raised:
            await client.publish("x", 1)
        assert (raised.value.code, raised.value.status) == ("store_unavailable", 503)


async def test_revoked_client_ends_with_its_error(server):
    async with server.connect("agent") as client:
        subscription = await client.subscribe("x")
        server.refuse("agent")
        with pytest.raises(AccessRevoked):
            await subscription.next(1)
        with pytest.raises(AccessRevoked):
            await client.publish("x", 1)
        assert client.state is State.CLOSED


async def test_first_connection_fails_in_time(server):
    server.stop()
    with pytest.raises(ConnectionFailed):
        await server.connect("agent", connect_timeout=0).open()
    with pytest.raises(ConnectionFailed):
        await server.connect("agent", connect_timeout=0.05).open()
    server.refuse("gone")
    server.start()
    with pytest.raises(AuthenticationFailed):
        await server.connect("gone").open()


async def test_delay_of_the_server_is_obeyed(server):
    async with server.connect("agent") as client:
        loop = asyncio.get_running_loop()
        before = loop.time()
        server.disconnect("agent", retry_after_s=0.3)
        await eventually(lambda: client.transport == "", every=0.001)
        await client.wait_connected()
        assert 0.29 <= loop.time() - before < 1


async def test_handler_does_not_hold_up_others(server):
    async with server.connect("agent") as client, server.connect("asker") as asker:
        stuck = asyncio.Event()

        @client.respond("stuck", concurrency=1)
        async def wait(message):
            await stuck.wait()

        @client.respond("quick")
        async def answer(message):
            return 1

        await asyncio.sleep(0.01)
        waiting = [asyncio.ensure_future(asker.request("stuck", n, timeout=0.3)) for n in range(3)]
        await asyncio.sleep(0.01)
        assert (await asker.request("quick", 1, timeout=1)).data == 1
        stuck.set()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_subscription_can_end_when_it_is_too_slow(server):
    async with server.connect("agent") as client:
        subscription = await client.subscribe("x", max_pending=2, overflow=Overflow.END)
        for number in range(5):
            await client.publish("x", number)
        assert await take(subscription, 2) == [0, 1]
        with pytest.raises(SlowSubscriber):
            await subscription.next(1)


async def test_responder_may_be_registered_before_the_connection(server):
    client = server.connect("agent")

    @client.respond("ask")
    async def answer(message):
        return message.data + 1

    async with client, server.connect("asker") as asker:
        assert (await asker.request("ask", 1, timeout=1)).data == 2


async def test_missing_channel_ends_the_subscription(server):
    async with server.connect("agent") as client:
        with pytest.raises(ChannelNotFound):
            await client.channel("nothing").subscribe()


async def test_subscription_ends_with_its_block(server):
    async with server.connect("agent") as client:
        async with client.subscribe("x") as subscription:
            await client.publish("x", 1)
        await client.publish("x", 2)
        assert [message.data async for message in subscription] == [1]
