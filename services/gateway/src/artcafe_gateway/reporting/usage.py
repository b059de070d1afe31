"""Reports usage to metering: in batches, at least every second, each exactly once.

While batches cannot be published, no more are made: the counts add up by tenant, client and channel, so an outage
costs memory for those that were active in it, not for its length.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_bounded
from artcafe_common.contracts.metering import BridgeReport, RefusalEntry, UsageEntry, UsageRecorded
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.pool import BridgePool

# Unpublished batches: those of one interval, and one for each bridge that closed since; beyond this the oldest is dropped.
MAX_PENDING_BATCHES = 10_000
MAX_ENTRIES_PER_BATCH = 2_000
# Parts of a second of connection time, kept for those clients that were connected last.
MAX_REMAINDERS = 50_000
MAX_CONCURRENT_FLUSHES = 100
# The organizations whose totals are remembered.
MAX_TENANTS = 5_000
log = structlog.get_logger()


class Totals:
    """Counts since this process started."""

    __slots__ = ("api_calls", "bytes_in", "bytes_out", "deliveries", "messages", "slow_consumers")

    def __init__(self) -> None:
        self.messages = self.deliveries = self.bytes_in = self.bytes_out = 0
        self.api_calls = self.slow_consumers = 0

    def add(self, entry: UsageEntry) -> None:
        """Add the counts of an interval."""
        self.messages += entry.messages
        self.deliveries += entry.deliveries
        self.bytes_in += entry.bytes_in
        self.bytes_out += entry.bytes_out
        self.api_calls += entry.api_calls


class UsageTotals(Totals):
    """The totals as of the last flush; `by_tenant` has the organizations that were active last."""

    __slots__ = ("by_tenant",)

    def __init__(self) -> None:
        super().__init__()
        self.by_tenant: OrderedDict[str, Totals] = OrderedDict()

    def add_all(self, entries: Iterable[UsageEntry]) -> None:
        """Add the counts of an interval."""
        for entry in entries:
            self.add(entry)
            self._tenant(entry.tenant_id).add(entry)

    def record_slow_consumer(self, tenant_id: str) -> None:
        """Count a socket that was closed as a slow consumer."""
        self.slow_consumers += 1
        self._tenant(tenant_id).slow_consumers += 1

    def _tenant(self, tenant_id: str) -> Totals:
        totals = self.by_tenant.get(tenant_id)
        if totals is None:
            totals = self.by_tenant[tenant_id] = Totals()
            if len(self.by_tenant) > MAX_TENANTS:
                self.by_tenant.popitem(last=False)
        else:
            self.by_tenant.move_to_end(tenant_id)
        return totals


class UsageRecorder:
    """Counts deliveries, REST calls and connection time; bridges count publishes."""

    def __init__(self, *, bus: Bus, bridges: BridgePool, server_id: str) -> None:
        self._bus = bus
        self._bridges = bridges
        self._server_id = server_id
        # By tenant, client and channel: deliveries, payload bytes.
        self._deliveries: dict[tuple[str, str, str], list[int]] = {}
        self._api_calls: dict[str, int] = {}
        # By tenant and error code.
        self._refusals: dict[tuple[str, str], int] = {}
        self._connection_seconds: dict[tuple[str, str], float] = {}
        self._remainders: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._batches: list[UsageRecorded] = []
        self._lock = asyncio.Lock()
        self.totals = UsageTotals()
        # Batches by what became of them.
        self.results = {"published": 0, "deferred": 0, "dropped": 0}

    @property
    def pending_count(self) -> int:
        """How many batches wait to be published."""
        return len(self._batches)

    def record_delivery(
        self, tenant_id: str, client_id: str, channel_id: str, size: int, messages: int = 1
    ) -> None:
        """Counts messages sent to a client's socket; `size` is the sum of their payload bytes."""
        counts = self._deliveries.get((tenant_id, client_id, channel_id))
        if counts is None:
            counts = self._deliveries[tenant_id, client_id, channel_id] = [0, 0]
        counts[0] += messages
        counts[1] += size

    def record_api_call(self, tenant_id: str) -> None:
        """Counts one REST call."""
        self._api_calls[tenant_id] = self._api_calls.get(tenant_id, 0) + 1

    def record_refusal(self, tenant_id: str, code: str) -> None:
        """Counts an error that was the answer to a request or a frame."""
        key = (tenant_id, code)
        self._refusals[key] = self._refusals.get(key, 0) + 1

    def record_connection_time(self, tenant_id: str, client_id: str, seconds: float) -> None:
        """Adds to the time that a client's sockets were open."""
        key = (tenant_id, client_id)
        self._connection_seconds[key] = self._connection_seconds.get(key, 0.0) + seconds

    async def flush(self) -> None:
        """Publishes all counts; batches that cannot be published are retried in order."""
        async with self._lock:
            if not await self._publish_batches():
                return
            entries, reports = self._collect_entries(), []
            # Each waits for its broker; one that hangs must not hold up the others.
            bridges = [each for each in self._bridges.open_bridges if each.has_usage]
            collected = await run_bounded(
                (bridge.collect_usage for bridge in bridges), limit=MAX_CONCURRENT_FLUSHES
            )
            for published, report in collected:
                entries += published
                reports += [] if report is None else [report]
            self._queue(entries, reports)
            self._queue_refusals()
            await self._publish_batches()

    async def flush_bridge(self, bridge: Bridge) -> None:
        """Publishes the counts of one bridge, before it closes."""
        async with self._lock:
            published, report = await bridge.collect_usage()
            self._queue(published, [] if report is None else [report])
            await self._publish_batches()

    def _collect_entries(self) -> list[UsageEntry]:
        deliveries, self._deliveries = self._deliveries, {}
        calls, self._api_calls = self._api_calls, {}
        entries = [
            UsageEntry(
                tenant_id=tenant, client_id=client, channel_id=channel, deliveries=count, bytes_out=size
            )
            for (tenant, client, channel), (count, size) in deliveries.items()
        ]
        entries += [UsageEntry(tenant_id=tenant, api_calls=count) for tenant, count in calls.items()]
        seconds, self._connection_seconds = self._connection_seconds, {}
        for key, recorded in seconds.items():
            total = recorded + self._remainders.pop(key, 0.0)
            whole = int(total)
            if whole:
                entries.append(UsageEntry(tenant_id=key[0], client_id=key[1], connection_seconds=whole))
            if total > whole:
                self._remainders[key] = total - whole
        while len(self._remainders) > MAX_REMAINDERS:
            self._remainders.popitem(last=False)
        return entries

    def _queue(self, entries: list[UsageEntry], reports: list[BridgeReport]) -> None:
        self.totals.add_all(entries)
        # A bridge's report and its entries go into one batch, so that metering applies both or neither.
        if len(entries) <= MAX_ENTRIES_PER_BATCH:
            if entries or reports:
                self._batches.append(
                    UsageRecorded(server_id=self._server_id, entries=entries, bridges=reports)
                )
            return
        by_tenant: dict[str, list[UsageEntry]] = {}
        for entry in entries:
            by_tenant.setdefault(entry.tenant_id, []).append(entry)
        for tenant_id, tenant_entries in by_tenant.items():
            bridges = [report for report in reports if report.tenant_id == tenant_id]
            self._batches.append(
                UsageRecorded(server_id=self._server_id, entries=tenant_entries, bridges=bridges)
            )

    def _queue_refusals(self) -> None:
        counted, self._refusals = self._refusals, {}
        refusals = [
            RefusalEntry(tenant_id=tenant, code=code, count=count)
            for (tenant, code), count in counted.items()
        ]
        for start in range(0, len(refusals), MAX_ENTRIES_PER_BATCH):
            part = refusals[start : start + MAX_ENTRIES_PER_BATCH]
            self._batches.append(UsageRecorded(server_id=self._server_id, entries=[], refusals=part))

    async def _publish_batches(self) -> bool:
        """Publishes the waiting batches in order; False when some still wait."""
        while self._batches:
            try:
                await self._bus.publish(self._batches[0])
            except CommandError as error:
                self.results["deferred"] += 1
                log.warning("usage_batch_deferred", batches=len(self._batches), reason=error.detail)
                if dropped := max(len(self._batches) - MAX_PENDING_BATCHES, 0):
                    self.results["dropped"] += dropped
                    log.error("usage_batches_dropped", count=dropped)
                    del self._batches[:dropped]
                return False
            self.results["published"] += 1
            del self._batches[0]
        return True
