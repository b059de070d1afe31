"""Channel subscribers: counted per process, collected from all, and recorded once a day."""

import asyncio
import time

import nats.errors
import pytest

from artcafe_common import token_bucket
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.events import ChannelSubscribed
from artcafe_gateway.reporting import channel_subscribers as tracker_module
from artcafe_gateway.reporting.channel_subscribers import ChannelSubscriberTracker
from support.fakes.bus import FakeBus
from support.fakes.ids import CHANNEL, CLIENT, OTHER_CLIENT, OTHER_TENANT, TENANT
from support.fakes.reporting import FakePresence


@pytest.fixture
def clock(clock, monkeypatch):
    monkeypatch.setattr(tracker_module, "TTLCache", clock.ttl_cache)
    monkeypatch.setattr(token_bucket, "time", clock)
    return clock


@pytest.fixture
def bus(monkeypatch):
    monkeypatch.setattr(tracker_module, "QUIET_S", 0.005)
    monkeypatch.setattr(tracker_module, "REPLY_TIMEOUT_S", 0.05)
    return FakeBus()


async def start(bus, instance="this"):
    tracker = ChannelSubscriberTracker(bus=bus, presence=FakePresence(instance))
    await tracker.subscribe()
    return tracker


async def test_sockets_are_counted_by_client(bus, clock):
    tracker = await start(bus)
    for client_id in (CLIENT, CLIENT, OTHER_CLIENT):
        tracker.add(TENANT, client_id, CHANNEL)
    assert await tracker.list_all(TENANT, CHANNEL) == {CLIENT: 2, OTHER_CLIENT: 1}
    tracker.remove(TENANT, CLIENT, CHANNEL)
    tracker.remove(TENANT, OTHER_CLIENT, CHANNEL)
    assert await tracker.list_all(TENANT, CHANNEL) == {CLIENT: 1}


async def test_other_channels_and_tenants_are_not_listed(bus, clock):
    tracker = await start(bus)
    tracker.add(TENANT, CLIENT, CHANNEL)
    assert await tracker.list_all(TENANT, "other") == {}
    assert await tracker.list_all(OTHER_TENANT, CHANNEL) == {}


async def test_removed_subscribers_leave_nothing_behind(bus, clock):
    tracker = await start(bus)
    tracker.remove(TENANT, CLIENT, CHANNEL)
    tracker.add(TENANT, CLIENT, CHANNEL)
    tracker.remove(TENANT, CLIENT, CHANNEL)
    tracker.remove(TENANT, CLIENT, CHANNEL)
    assert tracker._clients == {}


async def test_subscribers_of_all_processes_are_summed(bus, clock):
    one, other = await start(bus, "one"), await start(bus, "other")
    one.add(TENANT, CLIENT, CHANNEL)
    other.add(TENANT, CLIENT, CHANNEL)
    other.add(TENANT, OTHER_CLIENT, CHANNEL)
    for tracker in (one, other):
        assert await tracker.list_all(TENANT, CHANNEL) == {CLIENT: 2, OTHER_CLIENT: 1}


async def test_missing_process_does_not_fail_the_request(bus, clock):
    tracker = await start(bus)
    tracker._last_reply_at["gone"] = asyncio.get_running_loop().time()
    tracker.add(TENANT, CLIENT, CHANNEL)
    assert await tracker.list_all(TENANT, CHANNEL) == {CLIENT: 1}


async def test_overlapping_requests_do_not_fail_when_a_process_has_died(bus, clock, monkeypatch):
    tracker = await start(bus)
    tracker.add(TENANT, CLIENT, CHANNEL)
    tracker._last_reply_at["gone"] = time.monotonic() - tracker_module.PEER_TIMEOUT_S + 0.02
    requests = [asyncio.create_task(tracker.list_all(TENANT, CHANNEL))]
    await asyncio.sleep(0.03)
    requests.append(asyncio.create_task(tracker.list_all(TENANT, CHANNEL)))
    assert await asyncio.gather(*requests) == [{CLIENT: 1}] * 2
    assert set(tracker._last_reply_at) == {"this"}


async def test_request_without_the_broker_is_an_error(bus, clock):
    tracker = await start(bus)
    bus.nc.error = nats.errors.ConnectionClosedError()
    with pytest.raises(ServiceUnavailable):
        await tracker.list_all(TENANT, CHANNEL)


async def test_reply_is_bounded(bus, clock, monkeypatch):
    monkeypatch.setattr(tracker_module, "MAX_CLIENTS_PER_REPLY", 5)
    tracker = await start(bus)
    for number in range(10):
        tracker.add(TENANT, f"client {number}", CHANNEL)
    assert len(await tracker.list_all(TENANT, CHANNEL)) == 5


async def test_subscription_is_recorded_once_a_day(bus, clock):
    tracker = await start(bus)
    for _ in range(3):
        tracker.add(TENANT, CLIENT, CHANNEL)
        tracker.remove(TENANT, CLIENT, CHANNEL)
    events = tracker._presence.events
    assert [(type(each), each.client_id, each.channel_id) for each in events] == [
        (ChannelSubscribed, CLIENT, CHANNEL)
    ]
    clock.advance(24 * 3600 + 1)
    tracker.add(TENANT, CLIENT, CHANNEL)
    assert len(events) == 2


async def test_only_channels_with_an_id_are_recorded(bus, clock):
    tracker = await start(bus)
    for channel in ("news", "", CHANNEL.lower(), f"{CHANNEL}x"):
        tracker.add(TENANT, CLIENT, channel)
    assert tracker._presence.events == []


async def test_records_are_limited_and_made_up_later(bus, clock):
    tracker = await start(bus)
    channels = [new_id() for _ in range(300)]
    for channel in channels:
        tracker.add(TENANT, CLIENT, channel)
    assert len(tracker._presence.events) == 100
    clock.advance(1)
    for channel in channels:
        tracker.add(TENANT, CLIENT, channel)
    recorded = [event.channel_id for event in tracker._presence.events]
    assert len(recorded) == len(set(recorded)) == 150
