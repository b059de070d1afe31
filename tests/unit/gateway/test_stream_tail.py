"""The tail of a channel's history: read from the stream when something is published."""

import asyncio

import pytest

from artcafe_gateway.errors import BrokerUnavailable
from artcafe_gateway.history import tail as tail_module
from artcafe_gateway.history.tail import StreamTail
from support.fakes.history import FakeHistory
from support.fakes.peers import CHANNEL_SUBJECT
from support.waiting import eventually


class Listener:
    def __init__(self):
        self.received = []

    def deliver(self, message):
        self.received.append((message.seq, message.previous_seq))


@pytest.fixture
def history(broker):
    return FakeHistory(broker)


@pytest.fixture
async def tail(bridge):
    tail = await bridge.streams.acquire_subscription(CHANNEL_SUBJECT, StreamTail)
    await bridge.streams.confirm_subscription(tail)
    return tail


@pytest.fixture
def listener(tail):
    listener = Listener()
    tail.listeners[listener] = None
    return listener


async def test_it_begins_at_the_newest_message_and_is_started_once(bridge, history, tail, listener):
    history.append(CHANNEL_SUBJECT, b"1")
    await asyncio.gather(*(tail.start(bridge, CHANNEL_SUBJECT) for _ in range(3)))
    history.append(CHANNEL_SUBJECT, b"2")
    await eventually(lambda: listener.received == [(2, 1)], every=0.001)


async def test_message_that_is_stored_late_is_read_when_it_is_there(bridge, broker, history, tail, listener):
    await tail.start(bridge, CHANNEL_SUBJECT)
    broker.route(CHANNEL_SUBJECT, b"1")
    await asyncio.sleep(0.01)
    history.append(CHANNEL_SUBJECT, b"1", announce=False)
    await eventually(lambda: listener.received == [(1, 0)], every=0.001)


async def test_reading_ends_when_nothing_is_stored(bridge, broker, history, tail, listener, monkeypatch):
    monkeypatch.setattr(tail_module, "STORE_TIMEOUT_S", 0.02)
    await tail.start(bridge, CHANNEL_SUBJECT)
    broker.route(CHANNEL_SUBJECT, b"repeated")
    await asyncio.sleep(0.1)
    reads = history.reads
    await asyncio.sleep(0.05)
    assert history.reads == reads
    history.append(CHANNEL_SUBJECT, b"1")
    await eventually(lambda: listener.received == [(1, 0)], every=0.001)


async def test_messages_that_arrive_together_are_read_together(bridge, history, tail, listener):
    await tail.start(bridge, CHANNEL_SUBJECT)
    reads = history.reads
    for number in range(100):
        history.append(CHANNEL_SUBJECT, b"%d" % number)
    await eventually(lambda: len(listener.received) == 100, every=0.001)
    assert [seq for seq, _ in listener.received] == list(range(1, 101))
    assert history.reads - reads < 5


async def test_nothing_is_read_after_the_release(bridge, broker, history, tail):
    await tail.start(bridge, CHANNEL_SUBJECT)
    await bridge.streams.release_subscription(CHANNEL_SUBJECT)
    await asyncio.sleep(0)
    reads = history.reads
    tail.on_message(CHANNEL_SUBJECT, "", b"1", b"")
    await asyncio.sleep(0.02)
    assert history.reads == reads


async def test_reader_ends_if_its_cancellation_is_reported_as_an_error(bridge, broker, tail, monkeypatch):
    reading = asyncio.Event()

    async def wait_for_page(*_):
        reading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BrokerUnavailable from None

    monkeypatch.setattr(tail_module, "get_last_seq", lambda *_: asyncio.sleep(0, 0))
    monkeypatch.setattr(tail_module, "read_stream_page", wait_for_page)
    await tail.start(bridge, CHANNEL_SUBJECT)
    broker.route(CHANNEL_SUBJECT, b"1")
    await asyncio.wait_for(reading.wait(), 5)
    tail.on_released()
    await eventually(tail._reader.done, every=0.001, within=2)
