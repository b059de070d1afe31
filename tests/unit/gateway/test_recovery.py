"""Replay of a channel's history followed by live messages: no gap, no duplicate, in order."""

import asyncio
import functools

import pytest

from artcafe_common.broker.subjects import resolve, resolve_channel
from artcafe_common.bus.errors import InvalidRequest
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable
from artcafe_gateway.history.stream import DIRECT_GET_SUBJECT
from artcafe_gateway.subscriptions import recovery
from artcafe_gateway.subscriptions.recovery import RecoveryState
from support.fakes.history import START, FakeHistory
from support.fakes.ids import CHANNEL, CLIENT, TENANT
from support.fakes.peers import CHANNEL_SUBJECT, ChannelPeer
from support.waiting import eventually

OTHER_SUBJECT = f"tenant.{TENANT}.channel.other"


@pytest.fixture
def history(broker):
    return FakeHistory(broker)


@pytest.fixture
def peer(bridge, history):
    return ChannelPeer(bridge, history)


async def test_last_messages_are_replayed_and_live_ones_follow(peer):
    peer.publish(*range(1, 11))
    await peer.subscribe(last=3)
    await peer.wait_for(8, 9, 10)
    peer.publish(11, 12)
    await peer.wait_for(8, 9, 10, 11, 12)
    assert [frame["seq"] for frame in peer.send_queue.frames] == [8, 9, 10, 11, 12]


async def test_replay_starts_at_a_sequence_number(peer):
    peer.publish(*range(1, 11))
    await peer.subscribe(since="9")
    await peer.wait_for(9, 10)


async def test_replay_starts_at_a_time(peer):
    peer.publish(*range(1, 11))
    await peer.subscribe(since=START.replace(second=7).isoformat())
    await peer.wait_for(7, 8, 9, 10)


async def test_sequence_number_in_the_future_delivers_only_new_messages(peer):
    peer.publish(1, 2)
    await peer.subscribe(since="100")
    await peer.wait_until_caught_up()
    peer.publish(3)
    # It is told that the stream has no such place.
    await peer.wait_for((3, 99), 3)


async def test_more_messages_than_stored_are_all_of_them(peer):
    peer.publish(1, 2)
    await peer.subscribe(last=1_000)
    await peer.wait_for(1, 2)


async def test_other_channels_are_not_replayed(peer, history):
    for number in range(1, 6):
        history.append(OTHER_SUBJECT, b"0")
        peer.publish(number)
    await peer.subscribe(last=3)
    await peer.wait_for(3, 4, 5)


async def test_many_pages_are_read(peer, monkeypatch):
    monkeypatch.setattr(recovery, "PAGE_MESSAGES", 10)
    peer.publish(*range(1, 101))
    await peer.subscribe(since="1")
    await peer.wait_for(*range(1, 101))


async def test_messages_during_the_replay_follow_it_once(peer, monkeypatch):
    monkeypatch.setattr(recovery, "PAGE_MESSAGES", 10)
    peer.publish(*range(1, 51))
    await peer.subscribe(since="1")
    for number in range(51, 81):
        peer.publish(number)
        await asyncio.sleep(0)
    await peer.wait_for(*range(1, 81))


async def test_missed_message_is_read_from_the_stream(peer):
    peer.publish(1)
    await peer.subscribe(since="1")
    await peer.wait_for(1)
    peer.publish(2)
    await peer.wait_for(1, 2)
    assert peer.state is RecoveryState.LIVE
    peer.publish(3, 4, announce=False)
    peer.publish(5)
    await peer.wait_for(1, 2, 3, 4, 5)


async def test_missed_message_during_the_replay_is_read_from_the_stream(peer):
    peer.publish(1)
    await peer.subscribe(since="1")
    peer.publish(2)
    peer.publish(3, announce=False)
    peer.publish(4)
    await peer.wait_for(1, 2, 3, 4)


async def test_missed_message_behind_a_page_is_read_from_the_stream(peer, history):
    peer.publish(1)
    peer.send_queue.half_full = True
    await peer.subscribe(since="1")

    def publish():
        peer.publish(2)
        peer.publish(3, announce=False)
        peer.publish(4)

    # All of them after the page was read, and before it is delivered.
    history.after_read = publish
    peer.send_queue.half_full = False
    await peer.wait_for(1, 2, 3, 4)


async def test_live_messages_before_a_gap_are_not_delivered_again(peer):
    await peer.subscribe(last=0)
    await peer.wait_until_caught_up()
    peer.publish(1)
    await peer.wait_for(1)
    peer.publish(2, 3)
    await peer.wait_for(1, 2, 3)
    peer.publish(4, announce=False)
    peer.publish(5)
    await peer.wait_for(1, 2, 3, 4, 5)


async def test_message_that_was_replayed_is_not_delivered_again(peer, history):
    peer.publish(1, 2, 3)
    await peer.subscribe(since="1")
    await peer.wait_for(1, 2, 3)
    history.announce(3)
    peer.publish(4)
    await peer.wait_for(1, 2, 3, 4)


async def test_messages_of_an_outage_are_delivered_after_it(peer, broker):
    peer.publish(1)
    await peer.subscribe(since="1")
    await peer.wait_for(1)
    peer.publish(2)
    await peer.wait_for(1, 2)
    broker.down = True
    await broker.restart()
    peer.publish(3, 4)
    broker.down = False
    await peer.wait_for(1, 2, 3, 4)
    peer.publish(5)
    await peer.wait_for(1, 2, 3, 4, 5)


async def test_deleted_messages_are_not_waited_for(peer, history):
    peer.publish(1)
    await peer.subscribe(since="1")
    await peer.wait_for(1)
    peer.publish(2, announce=False)
    history.delete(2)
    history.append(CHANNEL_SUBJECT, b"3", announce=False)
    history.announce(3)
    await peer.wait_for(1, 3)


async def test_message_that_the_stream_does_not_store_is_ignored(peer, broker):
    await peer.subscribe(last=0)
    for headers in (
        b"",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0\r\nNats-Sequence: x\r\nNats-Last-Sequence: 0\r\n\r\n",
    ):
        broker.route(CHANNEL_SUBJECT, b"666", headers)
    await peer.wait_until_caught_up()
    peer.publish(1)
    await peer.wait_for(1)


async def test_sequence_number_in_a_publishers_header_is_ignored(peer):
    await peer.subscribe(last=0)
    await peer.wait_until_caught_up()
    peer.publish(1, headers=b"NATS/1.0\r\nNats-Sequence: 999\r\n\r\n")
    peer.publish(2)
    await peer.wait_for(1, 2)
    assert [frame["seq"] for frame in peer.send_queue.frames] == [1, 2]


async def test_status_header_of_a_publisher_does_not_end_the_replay(peer):
    for number, headers in enumerate(
        (b"NATS/1.0\r\nStatus: ok", b"NATS/1.0 503", b"NATS/1.0\r\nStatus: 503"), 1
    ):
        peer.publish(number, headers=headers + b"\r\n\r\n")
    peer.publish(4)
    await peer.subscribe(since="1")
    await peer.wait_for(1, 2, 3, 4)


async def test_replay_waits_for_a_slow_socket(peer, history, monkeypatch):
    monkeypatch.setattr(recovery, "SEND_QUEUE_POLL_S", 0.001)
    peer.publish(1, 2)
    peer.send_queue.half_full = True
    await peer.subscribe(since="1")
    reads = history.reads
    await asyncio.sleep(0.01)
    assert (peer.received, history.reads) == ([], reads)
    peer.send_queue.half_full = False
    await peer.wait_for(1, 2)


async def test_overflowing_buffer_loses_no_message(peer, monkeypatch):
    monkeypatch.setattr(recovery, "MAX_BUFFERED_MESSAGES", 5)
    monkeypatch.setattr(recovery, "SEND_QUEUE_POLL_S", 0.001)
    peer.publish(1)
    peer.send_queue.half_full = True
    await peer.subscribe(since="1")
    peer.publish(*range(2, 31))
    subscription = peer.subscriptions._by_subject[CHANNEL_SUBJECT, ""]
    await eventually(lambda: len(subscription._buffer) == 5, every=0.001)
    peer.send_queue.half_full = False
    await peer.wait_for(*range(1, 31))


async def test_messages_dropped_while_an_empty_page_arrives_are_read_again(peer, history, monkeypatch):
    """An empty page does not show that messages stored after it were deleted."""
    monkeypatch.setattr(recovery, "MAX_BUFFERED_MESSAGES", 3)
    history.after_read = functools.partial(peer.publish, 1, 2, 3, 4, 5)
    await peer.subscribe(since="1")
    await peer.wait_for(1, 2, 3, 4, 5)


async def test_buffer_is_bounded_in_bytes(peer, history, monkeypatch):
    monkeypatch.setattr(recovery, "MAX_BUFFERED_BYTES", 100)
    peer.send_queue.half_full = True
    await peer.subscribe(last=0)
    for _ in range(10):
        history.append(CHANNEL_SUBJECT, b'"%b"' % (b"x" * 28))
    subscription = peer.subscriptions._by_subject[CHANNEL_SUBJECT, ""]
    await eventually(lambda: subscription.broker_subscription.last_seq == 10, every=0.001)
    assert len(subscription._buffer) == 3


async def test_unsubscribed_channel_delivers_nothing(peer, broker, bridge):
    peer.publish(1)
    peer.send_queue.half_full = True
    await peer.subscribe(since="1")
    await peer.subscriptions.unsubscribe(CHANNEL)
    peer.send_queue.half_full = False
    peer.publish(2)
    await bridge.streams.flush()
    await asyncio.sleep(0.01)
    assert peer.received == []
    assert broker.subjects == []


async def test_reader_ends_if_its_cancellation_is_reported_as_an_error(peer, monkeypatch):
    requests = []

    async def wait_for_page(*_):
        requests.append(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BrokerUnavailable from None

    monkeypatch.setattr(recovery, "read_page_after", wait_for_page)
    monkeypatch.setattr(recovery, "FIRST_RETRY_PAUSE_S", 0)
    await peer.subscribe(since="1")
    await asyncio.sleep(0)
    await peer.subscriptions.unsubscribe_all()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(requests) == 1


async def test_replay_replaces_the_plain_subscription(peer, broker, bridge):
    await peer.subscriptions.subscribe("plain", resolve_channel(TENANT, CHANNEL))
    peer.subscriptions.activate("plain")
    peer.publish(1, announce=False)
    await peer.subscribe(last=1)
    await peer.wait_for(1)
    peer.publish(2)
    await peer.wait_for(1, 2)
    await bridge.flush()
    assert broker.subjects == [CHANNEL_SUBJECT]


async def test_wildcard_and_replay_deliver_once(peer, broker):
    every_channel = resolve(TENANT, f"tenant.{TENANT}.channel.*", wildcards=True)
    await peer.subscriptions.subscribe("all", every_channel)
    peer.subscriptions.activate("all")
    peer.publish(1, announce=False)
    await peer.subscribe(last=1)
    await peer.wait_for(1)
    peer.publish(2)
    await peer.wait_for(1, 2)
    broker.route(OTHER_SUBJECT, b"3")
    await peer.wait_for(1, 2, 3)


async def test_second_replay_starts_again(peer):
    peer.publish(1, 2, 3)
    await peer.subscribe(last=1)
    await peer.wait_for(3)
    peer.send_queue.drain()
    await peer.subscribe(last=2)
    await peer.wait_for(2, 3)
    peer.publish(4)
    await peer.wait_for(2, 3, 4)


async def test_channel_without_history_leaves_no_subscription(peer, broker, bridge):
    broker.responders[DIRECT_GET_SUBJECT] = lambda _: [(b"", b"NATS/1.0 503\r\n\r\n")]
    with pytest.raises(HistoryUnavailable):
        await peer.subscribe(last=1)
    assert bridge.subscription_count == 0
    assert peer.subscriptions.names == {}


@pytest.mark.parametrize(
    "query", [{"since": "1", "last": 1}, {"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}]
)
async def test_invalid_position_leaves_no_subscription(peer, bridge, query):
    with pytest.raises(InvalidRequest):
        await peer.subscribe(**query)
    assert bridge.subscription_count == 0


async def test_deliveries_are_recorded_once(peer):
    peer.publish(1, 2, 3)
    await peer.subscribe(last=2)
    await peer.wait_for(2, 3)
    peer.publish(4, 5)
    await peer.wait_for(2, 3, 4, 5)
    assert peer.usage.deliveries == {(CLIENT, CHANNEL): [4, 4]}
