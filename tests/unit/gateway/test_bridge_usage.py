"""Counts of a bridge: exact over broken connections, together with the broker's own counts."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_gateway.bridges import connector
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.bridges.publish_command import PublishCommand
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS, FakeBroker
from support.fakes.bus import FakeBus
from support.fakes.ids import CHANNEL, CLIENT, OTHER_CLIENT, SIGNING_KEYS, TENANT
from support.waiting import eventually


async def test_confirmed_messages_are_reported_once(bridge, broker):
    bridge.publish("a", b"123", b"head", client_id=CLIENT)
    bridge.publish("a", b"4", b"", client_id=CLIENT)
    bridge.publish("b", b"56", b"", client_id=OTHER_CLIENT, channel_id=CHANNEL)
    entries, report = await bridge.collect_usage()
    counts = [(each.client_id, each.channel_id, each.messages, each.bytes_in) for each in entries]
    assert counts == [(CLIENT, "", 2, 4), (OTHER_CLIENT, CHANNEL, 1, 2)]
    assert {each.tenant_id for each in entries} == {TENANT}
    assert (report.messages, report.bytes_in, report.cid) == (3, 10, broker.connection.client_id)
    assert await bridge.collect_usage() == ([], None)


async def test_messages_of_a_prepared_command_count_as_any_other(bridge, broker):
    command = PublishCommand(bridge.signer, "a", client_id=CLIENT, channel_id=CHANNEL)
    bridge.publish_with(command, b"123")
    bridge.publish("a", b"4", b"head", client_id=CLIENT, channel_id=CHANNEL)
    entries, report = await bridge.collect_usage()
    assert [(each.client_id, each.channel_id, each.messages, each.bytes_in) for each in entries] == [
        (CLIENT, CHANNEL, 2, 4)
    ]
    assert (report.messages, report.bytes_in) == (2, 3 + command.header_size + 1 + 4)
    assert broker.received == [("a", b"123"), ("a", b"4")]


async def test_report_has_the_total_of_the_connection(bridge, broker):
    for expected in (1, 2, 3):
        bridge.publish("a", b"x", b"", client_id=CLIENT)
        entries, report = await bridge.collect_usage()
        assert [each.messages for each in entries] == [1]
        assert report.messages == expected


async def test_unconfirmed_messages_of_a_broken_connection_are_not_reported(bridge, broker):
    bridge.publish("a", b"x", b"", client_id=CLIENT)
    await broker.restart()
    assert await bridge.collect_usage() == ([], None)


async def test_break_during_the_collection_reports_nothing(bridge, broker):
    bridge.publish("a", b"x", b"", client_id=CLIENT)
    broker.pause()
    collection = asyncio.create_task(bridge.collect_usage())
    await asyncio.sleep(0.005)
    await broker.restart()
    assert await collection == ([], None)
    broker.resume()


async def test_new_connection_starts_at_zero(bridge, broker):
    bridge.publish("a", b"x", b"", client_id=CLIENT)
    _, before = await bridge.collect_usage()
    await broker.restart()
    await eventually(lambda: bridge.state is BridgeState.CONNECTED, every=0.001)
    bridge.publish("a", b"x", b"", client_id=CLIENT)
    _, after = await bridge.collect_usage()
    assert after.messages == 1
    assert after.cid != before.cid


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 5)),
    st.tuples(st.just("collect")),
    st.tuples(st.just("break"), st.integers(0, 5)),
)


async def run(steps):
    """Carry out steps; returns the billed messages and bytes, and the broker."""
    broker, bus = FakeBroker(), FakeBus({IssueBridgeCredentials: BRIDGE_CREDENTIALS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connector, "BridgeConnection", broker.create_connection)
        bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS)
        await bridge.open()
        billed, reported = 0, {}

        async def collect():
            nonlocal billed
            entries, report = await bridge.collect_usage()
            billed += sum(entry.messages for entry in entries)
            if report is not None:
                reported[report.cid] = (report.messages, report.bytes_in)

        for step in (*steps, ("collect",)):
            if step[0] == "publish":
                for number in range(step[1]):
                    bridge.publish("a", b"x" * number, b"h", client_id=CLIENT)
            elif step[0] == "collect":
                await collect()
            else:
                await broker.connection.drop(received=step[1])
                await eventually(lambda: bridge.state is BridgeState.CONNECTED, every=0.001)
        await bridge.close()
    return billed, reported, broker


@given(st.lists(STEPS, max_size=12))
def test_billed_and_unreported_messages_are_exactly_those_received(steps):
    billed, reported, broker = asyncio.run(run(steps))
    unreported = 0
    for connection in broker.connections:
        messages, size = reported.get(connection.client_id, (0, 0))
        # Metering adds the difference when the connection has ended.
        assert messages <= connection.broker_messages
        assert size <= connection.broker_bytes
        unreported += connection.broker_messages - messages
    assert billed + unreported == len(broker.received)
