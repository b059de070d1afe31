"""Usage batches: complete, in order, and never twice."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_gateway.reporting import usage as usage_module
from artcafe_gateway.reporting.usage import UsageRecorder
from support.fakes.bus import FakeBus
from support.fakes.ids import CHANNEL, CLIENT, OTHER_CLIENT, OTHER_TENANT, TENANT
from support.waiting import eventually


class Bridge:
    """A bridge that has published some messages."""

    def __init__(self, tenant_id=TENANT):
        self.tenant_id = tenant_id
        self.published = 0
        self.total = 0

    def publish(self, count):
        self.published += count

    @property
    def has_usage(self):
        return self.published > 0

    async def collect_usage(self):
        await asyncio.sleep(0)
        if not self.published:
            return [], None
        published, self.published = self.published, 0
        self.total += published
        entry = UsageEntry(tenant_id=self.tenant_id, client_id=CLIENT, messages=published)
        return [entry], BridgeReport(
            tenant_id=self.tenant_id, server="s", cid=1, messages=self.total, bytes_in=0
        )


class SlowBridge(Bridge):
    """Its broker confirms when the test lets it; `running` counts the flushes that wait."""

    running = 0
    release = None

    async def collect_usage(self):
        SlowBridge.running += 1
        await self.release.wait()
        return await super().collect_usage()


class Pool:
    def __init__(self, *bridges):
        self.open_bridges = list(bridges)


def recorder(bus, *bridges):
    return UsageRecorder(bus=bus, bridges=Pool(*bridges), server_id="gateway-1")


@pytest.fixture
def bus():
    return FakeBus()


def total(bus, field):
    return sum(getattr(entry, field) for event in bus.events for entry in event.entries)


async def test_counts_are_summed_by_client_and_channel(bus):
    usage = recorder(bus)
    usage.record_delivery(TENANT, CLIENT, CHANNEL, 10)
    usage.record_delivery(TENANT, CLIENT, CHANNEL, 20, messages=2)
    usage.record_delivery(TENANT, OTHER_CLIENT, "", 5)
    usage.record_api_call(TENANT)
    usage.record_api_call(TENANT)
    await usage.flush()
    (batch,) = bus.events
    assert batch.server_id == "gateway-1"
    assert batch.entries == [
        UsageEntry(tenant_id=TENANT, client_id=CLIENT, channel_id=CHANNEL, deliveries=3, bytes_out=30),
        UsageEntry(tenant_id=TENANT, client_id=OTHER_CLIENT, deliveries=1, bytes_out=5),
        UsageEntry(tenant_id=TENANT, api_calls=2),
    ]


async def test_bridges_are_flushed_together(bus):
    SlowBridge.running, SlowBridge.release = 0, asyncio.Event()
    bridges = [SlowBridge() for _ in range(20)]
    for bridge in bridges:
        bridge.publish(1)
    flushing = asyncio.create_task(recorder(bus, *bridges).flush())
    await eventually(lambda: SlowBridge.running == 20)
    SlowBridge.release.set()
    await flushing
    assert total(bus, "messages") == 20


async def test_nothing_is_published_without_usage(bus):
    usage = recorder(bus, Bridge())
    await usage.flush()
    assert bus.events == []


async def test_flushed_counts_are_not_published_again(bus):
    usage = recorder(bus)
    usage.record_api_call(TENANT)
    for _ in range(3):
        await usage.flush()
    assert len(bus.events) == 1


async def test_connection_time_is_published_in_whole_seconds(bus):
    usage = recorder(bus)
    for _ in range(5):
        usage.record_connection_time(TENANT, CLIENT, 0.5)
        await usage.flush()
    assert total(bus, "connection_seconds") == 2
    usage.record_connection_time(TENANT, CLIENT, 0.5)
    await usage.flush()
    assert total(bus, "connection_seconds") == 3


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30))
def test_no_connection_time_is_lost(steps):
    async def run():
        bus = FakeBus()
        usage, eighths = recorder(bus), 0
        for eighth, flush in steps:
            # Eighths of a second are exact in binary.
            usage.record_connection_time(TENANT, CLIENT, eighth / 8)
            eighths += eighth
            if flush:
                await usage.flush()
        await usage.flush()
        return total(bus, "connection_seconds"), eighths // 8

    published, expected = asyncio.run(run())
    assert published == expected


async def test_bridge_counts_are_published_with_their_report(bus):
    bridge = Bridge()
    usage = recorder(bus, bridge)
    bridge.publish(3)
    await usage.flush()
    bridge.publish(2)
    await usage.flush()
    assert [entry.messages for event in bus.events for entry in event.entries] == [3, 2]
    assert [report.messages for event in bus.events for report in event.bridges] == [3, 5]


async def test_failed_batch_is_published_again_as_the_same_event(bus):
    usage = recorder(bus)
    usage.record_api_call(TENANT)
    bus.publish_error = ServiceUnavailable()
    await usage.flush()
    await usage.flush()
    bus.publish_error = None
    await usage.flush()
    # The event id is the same, so a batch that was stored in spite of the error counts once.
    assert len(bus.attempts) == 3
    assert len({event.event_id for event in bus.attempts}) == 1


async def test_counts_of_an_outage_follow_in_one_batch(bus):
    usage = recorder(bus)
    bus.publish_error = ServiceUnavailable()
    for count in (1, 2, 3):
        for _ in range(count):
            usage.record_api_call(TENANT)
        await usage.flush()
    bus.publish_error = None
    await usage.flush()
    assert [event.entries[0].api_calls for event in bus.events] == [1, 5]


async def test_outage_costs_no_more_batches_however_many_organizations_use_the_gateway(bus, monkeypatch):
    monkeypatch.setattr(usage_module, "MAX_ENTRIES_PER_BATCH", 5)
    usage, tenants = recorder(bus), [f"tenant {number}" for number in range(40)]
    bus.publish_error = ServiceUnavailable()
    for _ in range(50):
        for tenant in tenants:
            usage.record_api_call(tenant)
        await usage.flush()
    assert len(usage._batches) == len(tenants)
    bus.publish_error = None
    await usage.flush()
    assert total(bus, "api_calls") == 50 * len(tenants)


async def test_oldest_batch_of_closed_bridges_is_dropped_beyond_the_limit(bus, monkeypatch):
    monkeypatch.setattr(usage_module, "MAX_PENDING_BATCHES", 3)
    usage = recorder(bus)
    bus.publish_error = ServiceUnavailable()
    for count in range(1, 7):
        bridge = Bridge()
        bridge.publish(count)
        await usage.flush_bridge(bridge)
    bus.publish_error = None
    await usage.flush()
    assert [event.entries[0].messages for event in bus.events] == [4, 5, 6]


async def test_departed_clients_cost_nothing_once_their_time_is_published(bus, monkeypatch):
    monkeypatch.setattr(usage_module, "MAX_REMAINDERS", 10)
    usage = recorder(bus)
    for number in range(100):
        usage.record_connection_time(TENANT, f"client {number}", 1.5)
    await usage.flush()
    assert total(bus, "connection_seconds") == 100
    assert usage._connection_seconds == {}
    assert list(usage._remainders) == [(TENANT, f"client {number}") for number in range(90, 100)]


async def test_large_batch_is_split_by_tenant_together_with_its_reports(bus, monkeypatch):
    monkeypatch.setattr(usage_module, "MAX_ENTRIES_PER_BATCH", 5)
    bridges = [Bridge(TENANT), Bridge(OTHER_TENANT)]
    usage = recorder(bus, *bridges)
    for bridge in bridges:
        bridge.publish(1)
        for number in range(4):
            usage.record_delivery(bridge.tenant_id, f"client {number}", "", 1)
    await usage.flush()
    assert len(bus.events) == 2
    for event, bridge in zip(bus.events, bridges, strict=True):
        assert {entry.tenant_id for entry in event.entries} == {bridge.tenant_id}
        assert [report.tenant_id for report in event.bridges] == [bridge.tenant_id]
    assert (total(bus, "deliveries"), total(bus, "messages")) == (8, 2)


async def test_closing_bridge_publishes_its_counts(bus):
    bridge = Bridge()
    usage = recorder(bus)
    usage.record_api_call(TENANT)
    bridge.publish(4)
    await usage.flush_bridge(bridge)
    assert (total(bus, "messages"), total(bus, "api_calls")) == (4, 0)


async def test_concurrent_flushes_publish_each_count_once(bus):
    bridge = Bridge()
    usage = recorder(bus, bridge)
    bridge.publish(4)
    usage.record_api_call(TENANT)
    await asyncio.gather(*(usage.flush() for _ in range(10)), usage.flush_bridge(bridge))
    assert (total(bus, "messages"), total(bus, "api_calls")) == (4, 1)


@given(st.lists(st.sampled_from(["call", "publish", "flush", "fail", "recover"]), max_size=40))
def test_published_counts_are_the_recorded_ones_over_failures(steps):
    async def run():
        bus, bridge = FakeBus(), Bridge()
        usage, calls, messages = recorder(bus, bridge), 0, 0
        for step in steps:
            if step == "call":
                usage.record_api_call(TENANT)
                calls += 1
            elif step == "publish":
                bridge.publish(2)
                messages += 2
            elif step == "flush":
                await usage.flush()
            else:
                bus.publish_error = ServiceUnavailable() if step == "fail" else None
        bus.publish_error = None
        await usage.flush()
        return (total(bus, "api_calls"), total(bus, "messages")), (calls, messages)

    published, recorded = asyncio.run(run())
    assert published == recorded


async def test_refusals_are_counted_by_organization_and_code(bus):
    usage = recorder(bus)
    for tenant, code in ((TENANT, "forbidden"), (TENANT, "forbidden"), (OTHER_TENANT, "rate_limited")):
        usage.record_refusal(tenant, code)
    await usage.flush()
    await usage.flush()
    (event,) = bus.events
    assert event.entries == []
    assert {(each.tenant_id, each.code): each.count for each in event.refusals} == {
        (TENANT, "forbidden"): 2,
        (OTHER_TENANT, "rate_limited"): 1,
    }
