"""Reports to presence: events in order and without loss, heartbeats in batches."""

import asyncio
from datetime import UTC, datetime

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.presence import (
    ClosedSocket,
    ConnectionsChanged,
    GatewayAlive,
    HeartbeatsReceived,
    OpenedSocket,
)
from artcafe_common.contracts.tenancy.events import ChannelSubscribed
from artcafe_gateway.reporting import presence as presence_module
from artcafe_gateway.reporting.presence import PresenceReporter
from support.fakes.bus import FakeBus
from support.fakes.ids import CLIENT, TENANT
from support.waiting import eventually


@pytest.fixture
def bus():
    return FakeBus()


@pytest.fixture
def reporter(bus, clock, monkeypatch):
    monkeypatch.setattr(presence_module, "time", clock)
    monkeypatch.setattr(presence_module, "FIRST_RETRY_DELAY_S", 0.0005)
    monkeypatch.setattr(presence_module, "MAX_RETRY_DELAY_S", 0.0005)
    monkeypatch.setattr(presence_module, "BATCH_INTERVAL_S", 0.0005)
    return PresenceReporter(bus=bus, server_id="gateway-1")


def opened(number):
    return OpenedSocket(
        connection_id=str(number),
        tenant_id=TENANT,
        client_id=CLIENT,
        account="A",
        opened_at=datetime.now(UTC),
    )


def closed(number):
    return ClosedSocket(connection_id=str(number), tenant_id=TENANT, reason="client_left")


def subscribed(number):
    return ChannelSubscribed(tenant_id=TENANT, client_id=CLIENT, channel_id=str(number))


def closed_ids(events):
    return [socket.connection_id for event in events for socket in event.closed]


def heartbeats(bus):
    return [
        each for signal in bus.signals if isinstance(signal, HeartbeatsReceived) for each in signal.heartbeats
    ]


async def test_sockets_that_change_together_are_one_event(bus, reporter):
    for number in range(20):
        reporter.enqueue(opened(number))
        reporter.enqueue(closed(number + 100))
    await publish(reporter, bus, 1)
    (event,) = bus.events
    assert isinstance(event, ConnectionsChanged)
    assert (event.server_id, event.instance) == ("gateway-1", reporter.instance)
    assert [socket.connection_id for socket in event.opened] == [str(number) for number in range(20)]
    assert closed_ids([event]) == [str(number) for number in range(100, 120)]


async def test_socket_that_changes_later_waits_for_the_next_interval(bus, reporter, monkeypatch):
    monkeypatch.setattr(presence_module, "BATCH_INTERVAL_S", 0.05)
    running = asyncio.create_task(reporter.run())
    for number in range(3):
        reporter.enqueue(closed(number))
        await eventually(lambda: bus.events, every=0.001)
    await eventually(lambda: len(bus.events) == 2, every=0.001)
    running.cancel()
    assert [len(event.closed) for event in bus.events] == [1, 2]


async def test_many_sockets_are_several_events(bus, reporter, monkeypatch):
    monkeypatch.setattr(presence_module, "MAX_CHANGES_PER_EVENT", 20)
    for number in range(50):
        reporter.enqueue(closed(number))
    await publish(reporter, bus, 3)
    assert [len(event.closed) for event in bus.events] == [20, 20, 10]
    assert closed_ids(bus.events) == [str(number) for number in range(50)]


async def test_events_are_published_in_order(bus, reporter):
    for number in range(3):
        reporter.enqueue(closed(number))
        reporter.enqueue(subscribed(number))
    await publish(reporter, bus, 6)
    assert closed_ids(bus.events[::2]) == ["0", "1", "2"]
    assert [event.channel_id for event in bus.events[1::2]] == ["0", "1", "2"]


async def test_event_is_repeated_until_it_is_stored(bus, reporter):
    bus.publish_error = ServiceUnavailable()
    reporter.enqueue(closed(0))
    reporter.enqueue(subscribed(0))
    running = asyncio.create_task(reporter.run())
    await eventually(lambda: len(bus.attempts) > 3, every=0.001)
    # Later events wait for the first.
    assert len({event.event_id for event in bus.attempts}) == 1
    bus.publish_error = None
    await eventually(lambda: len(bus.events) == 2, every=0.001)
    running.cancel()
    assert closed_ids(bus.events[:1]) == ["0"]


async def test_event_that_was_not_stored_before_the_shutdown_is_drained(bus, reporter):
    bus.publish_error = ServiceUnavailable()
    reporter.enqueue(closed(0))
    running = asyncio.create_task(reporter.run())
    await eventually(lambda: bus.attempts, every=0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bus.publish_error = None
    await reporter.drain()
    assert closed_ids(bus.events) == ["0"]


async def test_drain_gives_up_after_its_timeout(bus, reporter, monkeypatch):
    monkeypatch.setattr(presence_module, "DRAIN_TIMEOUT_S", 0.005)
    bus.publish_error = ServiceUnavailable()
    reporter.enqueue(closed(0))
    await asyncio.wait_for(reporter.drain(), 5)


async def test_events_beyond_the_queue_are_dropped(bus, clock, monkeypatch):
    monkeypatch.setattr(presence_module, "MAX_QUEUED_EVENTS", 5)
    reporter = PresenceReporter(bus=bus, server_id="gateway-1")
    for number in range(10):
        reporter.enqueue(closed(number))
    await reporter.drain()
    assert closed_ids(bus.events) == ["0", "1", "2", "3", "4"]
    assert reporter.dropped_count == 5


async def publish(reporter, bus, count):
    """Run the reporter until it has published `count` events."""
    running = asyncio.create_task(reporter.run())
    await eventually(lambda: len(bus.events) == count, every=0.001)
    running.cancel()


async def test_heartbeats_of_a_connection_are_merged(bus, reporter):
    reporter.record_heartbeat("c1", TENANT, CLIENT, status="busy", metrics={"cpu": 1})
    reporter.record_heartbeat("c1", TENANT, CLIENT, metrics={"cpu": 2})
    reporter.record_heartbeat("c2", TENANT, CLIENT)
    await reporter.send_heartbeats()
    first, second = heartbeats(bus)
    assert (first.connection_id, first.status, first.metrics, first.metadata) == (
        "c1",
        "busy",
        {"cpu": 2},
        None,
    )
    assert (second.connection_id, second.status) == ("c2", None)


async def test_sent_heartbeats_are_not_sent_again(bus, reporter):
    reporter.record_heartbeat("c1", TENANT, CLIENT, status="busy")
    await reporter.send_heartbeats()
    reporter.record_heartbeat("c1", TENANT, CLIENT)
    await reporter.send_heartbeats()
    await reporter.send_heartbeats()
    assert [each.status for each in heartbeats(bus)] == ["busy", None]


async def test_many_heartbeats_are_split(bus, reporter, monkeypatch):
    monkeypatch.setattr(presence_module, "MAX_HEARTBEATS_PER_SIGNAL", 10)
    for number in range(25):
        reporter.record_heartbeat(str(number), TENANT, CLIENT)
    await reporter.send_heartbeats()
    batches = [signal.heartbeats for signal in bus.signals if isinstance(signal, HeartbeatsReceived)]
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert {each.connection_id for each in heartbeats(bus)} == {str(number) for number in range(25)}


async def test_process_reports_every_two_seconds_that_it_is_alive(bus, reporter, clock):
    for _ in range(9):
        await reporter.send_heartbeats()
        clock.advance(0.5)
    alive = [signal for signal in bus.signals if isinstance(signal, GatewayAlive)]
    assert len(alive) == 3
    assert {signal.instance for signal in alive} == {reporter.instance}
