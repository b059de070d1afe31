"""Recovery of a channel's messages while its stream is missing."""

import asyncio

import pytest

from artcafe_gateway.history import outage
from artcafe_gateway.history import tail as tail_module
from artcafe_gateway.history.stream import DIRECT_GET_SUBJECT
from artcafe_gateway.subscriptions import recovery
from artcafe_gateway.subscriptions.recovery import RecoveryState
from support.fakes.history import FakeHistory
from support.fakes.ids import CHANNEL
from support.fakes.peers import ChannelPeer
from support.waiting import eventually


@pytest.fixture
def peer(bridge, broker):
    return ChannelPeer(bridge, FakeHistory(broker))


class Stream:
    """Takes the stream away, and brings it back."""

    def __init__(self, broker):
        self._broker = broker
        self._reply = broker.responders[DIRECT_GET_SUBJECT]
        self.attempts = 0

    def take_away(self):
        self._broker.responders[DIRECT_GET_SUBJECT] = self._refuse

    def bring_back(self):
        self._broker.responders[DIRECT_GET_SUBJECT] = self._reply

    def _refuse(self, _payload):
        self.attempts += 1
        return [(b"", b"NATS/1.0 503\r\n\r\n")]


@pytest.fixture
def stream(broker, peer, monkeypatch):
    for module in (recovery, tail_module):
        monkeypatch.setattr(module, "FIRST_RETRY_PAUSE_S", 0.001)
        monkeypatch.setattr(module, "MAX_RETRY_PAUSE_S", 0.005)
    return Stream(broker)


async def test_stream_that_is_away_is_read_when_it_is_back(peer, stream):
    peer.publish(1)
    peer.send_queue.half_full = True
    await peer.subscribe(since="1")
    stream.take_away()
    peer.send_queue.half_full = False
    await asyncio.sleep(0.03)
    assert peer.received == []
    stream.bring_back()
    await peer.wait_for(1)


async def _during_the_replay(peer, stream):
    peer.publish(1)
    peer.send_queue.half_full = True
    await peer.subscribe(since="1")
    stream.take_away()
    peer.send_queue.half_full = False
    return 0


async def _while_live(peer, stream):
    peer.publish(1)
    await peer.subscribe(since="1")
    await peer.wait_until_caught_up()
    peer.publish(2)
    await peer.wait_for(1, 2)
    assert peer.state is RecoveryState.LIVE
    peer.send_queue.drain()
    stream.take_away()
    peer.publish(3)
    return 2


@pytest.mark.parametrize("take_away", [_during_the_replay, _while_live])
async def test_client_is_told_once_that_its_messages_are_delayed(peer, stream, monkeypatch, take_away):
    monkeypatch.setattr(outage, "NOTICE_AFTER_S", 0)
    last_seq = await take_away(peer, stream)
    await eventually(lambda: stream.attempts > 3, every=0.001)
    (told,) = peer.send_queue.drain()
    assert told["type"] == "error"
    assert told["code"] == "recovery_delayed"
    assert told["detail"] == {"channel": CHANNEL, "seq": last_seq}
    stream.bring_back()
    await peer.wait_for(last_seq + 1)
    # It is told of the next outage again.
    stream.take_away()
    peer.publish(9)
    await eventually(lambda: peer.send_queue.frames[-1]["type"] == "error", every=0.001)


@pytest.mark.parametrize("take_away", [_during_the_replay, _while_live])
async def test_socket_is_closed_if_its_stream_stays_away(peer, stream, bridge, monkeypatch, take_away):
    monkeypatch.setattr(outage, "END_AFTER_S", 0.02)
    last_seq = await take_away(peer, stream)
    await eventually(lambda: peer.closed, every=0.001)
    assert peer.closed[0] == (1013, "recovery_failed")
    (told,) = peer.send_queue.drain()
    assert told["code"] == "recovery_failed"
    assert told["detail"] == {"channel": CHANNEL, "seq": last_seq}
    await peer.subscriptions.unsubscribe_all()
    assert bridge.streams.subscription_count == 0


async def test_requests_to_a_missing_stream_become_rarer(peer, stream, monkeypatch):
    for module in (recovery, tail_module):
        monkeypatch.setattr(module, "FIRST_RETRY_PAUSE_S", 0.005)
        monkeypatch.setattr(module, "MAX_RETRY_PAUSE_S", 60)
    await peer.subscribe(last=0)
    await peer.wait_until_caught_up()
    stream.take_away()
    for number in range(50):
        # Each message makes the tail read.
        peer.publish(number)
        await asyncio.sleep(0.002)
    assert stream.attempts < 10
