"""Replay over missed, repeated and interrupted messages: each message once, in order."""

import asyncio
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_gateway.bridges import connector
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.history import tail
from artcafe_gateway.settings import Settings as GatewaySettings
from artcafe_gateway.subscriptions import recovery
from artcafe_gateway.subscriptions.recovery import RecoveryState
from support.fakes.broker import BRIDGE_CREDENTIALS, FakeBroker
from support.fakes.bus import FakeBus
from support.fakes.history import FakeHistory
from support.fakes.ids import SIGNING_KEYS, TENANT
from support.fakes.peers import CHANNEL_SUBJECT, ChannelPeer
from support.waiting import eventually

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 4)),
        st.tuples(st.just("miss"), st.integers(1, 3)),
        st.tuples(st.just("break"), st.integers(0, 3)),
        st.tuples(st.just("turns"), st.integers(1, 8)),
        st.tuples(st.just("catch up"), st.just(0)),
        st.tuples(st.just("after read"), st.integers(1, 3)),
        st.tuples(st.just("repeat"), st.just(0)),
    ),
    max_size=20,
)


async def replay(before, steps):
    broker, bus = FakeBroker(), FakeBus({IssueBridgeCredentials: BRIDGE_CREDENTIALS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connector, "BridgeConnection", broker.create_connection)
        patch.setattr(connector, "FIRST_RECONNECT_DELAY_S", 0)
        patch.setattr(recovery, "FIRST_RETRY_PAUSE_S", 0.001)
        patch.setattr(recovery, "MAX_RETRY_PAUSE_S", 0.001)
        patch.setattr(tail, "FIRST_RETRY_PAUSE_S", 0.001)
        patch.setattr(tail, "MAX_RETRY_PAUSE_S", 0.001)
        patch.setattr(recovery, "PAGE_MESSAGES", 3)
        patch.setattr(recovery, "MAX_BUFFERED_MESSAGES", 3)
        bridge = Bridge(tenant_id=TENANT, bus=bus, settings=GatewaySettings(), signing_keys=SIGNING_KEYS)
        await bridge.open()
        peer = ChannelPeer(bridge, FakeHistory(broker))
        number = before
        peer.publish(*range(1, before + 1))
        await peer.subscribe(since="1")
        for kind, value in steps:
            if kind in ("publish", "miss"):
                # Without a reconnect, a gap is noticed only after a first live message.
                last_seq = peer.subscriptions._by_subject[CHANNEL_SUBJECT, ""].broker_subscription.last_seq
                may_miss = last_seq > 0
                announce = kind == "publish" or not may_miss
                peer.publish(*range(number + 1, number + value + 1), announce=announce)
                number += value
            elif kind == "catch up":
                await peer.wait_until_caught_up()
            elif kind == "after read" and peer.state is RecoveryState.READING:
                messages = range(number + 1, number + value + 1)
                peer.history.after_read = functools.partial(peer.publish, *messages)
                await eventually(
                    lambda: peer.history.after_read is None or peer.state is not RecoveryState.READING,
                    every=0,
                )
                number += value if peer.history.after_read is None else 0
                peer.history.after_read = None
            elif kind == "turns":
                for _ in range(value):
                    await asyncio.sleep(0)
            elif kind == "repeat" and number and peer.state is not RecoveryState.LIVE:
                # A copy of the newest message, delayed behind the page that contained it.
                peer.history.announce(number)
            elif kind == "break":
                await broker.restart()
                peer.publish(*range(number + 1, number + value + 1))
                number += value
                await eventually(lambda: bridge.streams.state is BridgeState.CONNECTED, every=0)
        await eventually(lambda: bridge.streams.state is BridgeState.CONNECTED, every=0)
        # The next message reveals what was missed before it.
        number += 1
        peer.publish(number)
        await eventually(lambda: peer.received[-1:] == [number], every=0, within=5)
        await peer.subscriptions.unsubscribe_all()
        await bridge.close()
    return peer.received, number


@settings(max_examples=80)
@given(st.integers(0, 8), STEPS)
def test_every_message_is_delivered_once_in_order(before, steps):
    received, number = asyncio.run(replay(before, steps))
    assert received == list(range(1, number + 1))
