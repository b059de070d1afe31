"""A subscriber learns what is missing: messages that the stream removed before it received them."""

from datetime import timedelta

import pytest

from artcafe_gateway.history import gaps, tail
from artcafe_gateway.subscriptions import recovery
from artcafe_gateway.subscriptions.recovery import RecoveryState
from support.fakes.history import START, FakeHistory
from support.fakes.ids import CHANNEL, TENANT
from support.fakes.peers import ChannelPeer
from support.waiting import eventually

OTHER_SUBJECT = f"tenant.{TENANT}.channel.other"


@pytest.fixture
def history(broker):
    return FakeHistory(broker)


@pytest.fixture
def peer(bridge, history):
    return ChannelPeer(bridge, history)


def stored_at(seq):
    return START + timedelta(seconds=seq)


async def test_gap_precedes_the_first_message_that_is_kept(peer, history):
    peer.publish(*range(1, 11))
    history.evict(before=6)
    gap = await peer.subscribe(since="3")
    assert (gap.from_seq, gap.to_seq) == (3, 5)
    await peer.wait_for((3, 5), 6, 7, 8, 9, 10)
    peer.publish(11)
    await peer.wait_for((3, 5), 6, 7, 8, 9, 10, 11)
    assert peer.send_queue.frames[0] == {"type": "gap", "channel": CHANNEL, "from_seq": 3, "to_seq": 5}


@pytest.mark.parametrize("since", ["5", "6", "7", "11"])
async def test_no_gap_after_a_message_that_is_kept(peer, history, since):
    peer.publish(*range(1, 11))
    history.evict(before=int(since) - 1)
    assert await peer.subscribe(since=since) is None
    peer.publish(11)
    await peer.wait_for(*range(int(since), 12))


async def test_first_message_that_is_kept_is_no_gap(peer, history):
    peer.publish(*range(1, 11))
    history.evict(before=6)
    assert await peer.subscribe(since="6") is None


async def test_messages_of_other_channels_are_no_gap(peer, history):
    for number in (3, 6):
        history.append(OTHER_SUBJECT, b"0")
        history.append(OTHER_SUBJECT, b"0")
        peer.publish(number)
    assert await peer.subscribe(since="1") is None
    await peer.wait_for(3, 6)
    # The message before `since` is that of another channel, and is kept.
    history.evict(before=2)
    assert await peer.subscribe(since="3") is None


async def test_quiet_channel_whose_messages_are_kept_has_no_gap(peer, history):
    peer.publish(1)
    for _ in range(20):
        history.append(OTHER_SUBJECT, b"0")
    assert await peer.subscribe(since="2") is None


async def test_empty_stream_tells_what_it_has_removed(peer, history):
    peer.publish(*range(1, 6))
    history.evict(before=6)
    gap = await peer.subscribe(since="4")
    assert (gap.from_seq, gap.to_seq) == (4, 5)
    peer.publish(6)
    await peer.wait_for((4, 5), 6)


@pytest.mark.parametrize("since", ["6", "1"])
async def test_empty_stream_without_loss_has_no_gap(peer, history, since):
    if since == "6":
        peer.publish(*range(1, 6))
        history.evict(before=6)
    assert await peer.subscribe(since=since) is None


async def test_message_that_is_stored_during_the_search_is_no_gap(peer, history):
    history.after_read = lambda: peer.publish(1, 2, 3)
    assert await peer.subscribe(since="1") is None
    await peer.wait_for(1, 2, 3)


async def test_number_after_the_end_means_that_the_stream_was_lost(peer, history):
    peer.publish(*range(1, 11))
    history.recreate()
    peer.publish(1, 2)
    gap = await peer.subscribe(since="11")
    assert (gap.from_seq, gap.to_seq) == (3, 10)
    peer.publish(3)
    await peer.wait_for((3, 10), 3)


async def test_channel_that_is_newer_than_what_was_removed_has_no_gap(peer, history):
    for _ in range(5):
        history.append(OTHER_SUBJECT, b"0")
    peer.publish(6)
    history.evict(before=4)
    created_at = stored_at(5) + gaps.CLOCK_MARGIN
    assert await peer.subscribe(since="1", created_at=created_at) is None
    await peer.wait_for(6)
    # An older channel may have had messages there.
    gap = await peer.subscribe(since="1", created_at=stored_at(2))
    assert (gap.from_seq, gap.to_seq) == (1, 5)


async def test_time_before_what_is_kept_is_a_gap(peer, history):
    peer.publish(*range(1, 11))
    history.evict(before=6)
    assert await peer.subscribe(since=stored_at(6).isoformat()) is None
    gap = await peer.subscribe(since=stored_at(4).isoformat())
    assert (gap.from_seq, gap.to_seq) == (1, 5)


async def test_channel_with_too_many_messages_has_a_gap(peer, history, monkeypatch):
    monkeypatch.setattr(gaps, "MESSAGES_PER_CHANNEL", 3)
    history.append(OTHER_SUBJECT, b"0")
    peer.publish(*range(2, 7))
    for seq in (2, 3):
        history.delete(seq)
    gap = await peer.subscribe(since="2")
    assert (gap.from_seq, gap.to_seq) == (2, 3)
    await peer.wait_for((2, 3), 4, 5, 6)
    assert await peer.subscribe(since="4") is None


async def test_messages_that_are_removed_while_a_slow_reader_waits_are_a_gap(peer, history, monkeypatch):
    monkeypatch.setattr(recovery, "PAGE_MESSAGES", 3)
    peer.publish(*range(1, 11))
    history.after_read = lambda: setattr(peer.send_queue, "half_full", True)
    assert await peer.subscribe(since="2") is None
    await eventually(lambda: peer.received[-1:] == [4], every=0.001)
    history.evict(before=8)
    peer.send_queue.half_full = False
    await peer.wait_for(2, 3, 4, (5, 7), 8, 9, 10)


async def test_everything_removed_while_a_slow_reader_waits_is_a_gap(peer, history, monkeypatch):
    monkeypatch.setattr(recovery, "PAGE_MESSAGES", 3)
    peer.publish(*range(1, 11))
    history.after_read = lambda: setattr(peer.send_queue, "half_full", True)
    await peer.subscribe(since="2")
    await eventually(lambda: peer.received[-1:] == [4], every=0.001)
    history.evict(before=11)
    peer.send_queue.half_full = False
    await peer.wait_until_caught_up()
    peer.publish(11)
    await peer.wait_for(2, 3, 4, (5, 10), 11)


async def test_live_subscriber_learns_what_an_outage_has_cost(peer, history, bridge, broker, monkeypatch):
    # The messages have old times.
    monkeypatch.setattr(tail, "CLOCK_MARGIN", timedelta(days=10_000))
    peer.publish(1)
    await peer.subscribe(since="1")
    await peer.wait_until_caught_up()
    peer.publish(2)
    await peer.wait_for(1, 2)
    assert peer.state is RecoveryState.LIVE
    # The messages are not announced: the gateway has no connection when they are published.
    peer.publish(*range(3, 9), announce=False)
    history.evict(before=7)
    await broker.restart()
    await peer.wait_for(1, 2, (3, 6), 7, 8)


async def test_outage_of_a_quiet_channel_is_no_gap(peer, history, bridge, broker):
    peer.publish(1)
    await peer.subscribe(since="1")
    await peer.wait_until_caught_up()
    peer.publish(2)
    await peer.wait_for(1, 2)
    # Its messages were received, and have expired; those of other channels are old as well.
    for _ in range(5):
        history.append(OTHER_SUBJECT, b"0")
    history.evict(before=6)
    peer.publish(8, announce=False)
    await broker.restart()
    await peer.wait_for(1, 2, 8)
