"""Counts on their way to metering: batched, handed over at least every second, never twice."""

import asyncio

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.metering import BridgeReport, UsageEntry, UsageRecorded
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.pool import BridgePool

# Batches that the broker did not take yet; each holds all counts of its interval.
MAX_PENDING_BATCHES = 10_000
MAX_ENTRIES_PER_BATCH = 2_000
log = structlog.get_logger()


class UsageRecorder:
    """Counts deliveries, calls and connection time; publishes are counted by the bridges."""

    def __init__(self, *, bus: Bus, bridges: BridgePool, server_id: str) -> None:
        self._bus = bus
        self._bridges = bridges
        self._server_id = server_id
        # (tenant, client, channel): [deliveries, bytes_out]
        self._delivered: dict[tuple[str, str, str], list[int]] = {}
        self._calls: dict[str, int] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._pending: list[UsageRecorded] = []
        self._lock = asyncio.Lock()

    def record_delivery(
        self, tenant_id: str, client_id: str, channel_id: str, size: int, messages: int = 1
    ) -> None:
        """Messages of `size` payload bytes in all went to one client's socket."""
        counts = self._delivered.get((tenant_id, client_id, channel_id))
        if counts is None:
            counts = self._delivered[tenant_id, client_id, channel_id] = [0, 0]
        counts[0] += messages
        counts[1] += size

    def record_api_call(self, tenant_id: str) -> None:
        """One REST call was made for a tenant."""
        self._calls[tenant_id] = self._calls.get(tenant_id, 0) + 1

    def record_connection_time(self, tenant_id: str, client_id: str, seconds: float) -> None:
        """A client's socket was open for so long since it was last told."""
        key = (tenant_id, client_id)
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds

    async def flush(self) -> None:
        """Hand over everything counted so far; what cannot be handed over now waits, in order."""
        async with self._lock:
            entries, reports = self._drain_counters(), []
            for bridge in self._bridges.open_bridges:
                published, report = await bridge.collect_usage()
                entries += published
                reports += [] if report is None else [report]
            self._queue(entries, reports)
            await self._publish_batches()

    async def flush_bridge(self, bridge: Bridge) -> None:
        """Hand over what one bridge counted, before it closes."""
        async with self._lock:
            published, report = await bridge.collect_usage()
            self._queue(published, [] if report is None else [report])
            await self._publish_batches()

    def _drain_counters(self) -> list[UsageEntry]:
        delivered, self._delivered = self._delivered, {}
        calls, self._calls = self._calls, {}
        entries = [
            UsageEntry(
                tenant_id=tenant, client_id=client, channel_id=channel, deliveries=count, bytes_out=size
            )
            for (tenant, client, channel), (count, size) in delivered.items()
        ]
        entries += [UsageEntry(tenant_id=tenant, api_calls=count) for tenant, count in calls.items()]
        for key in [key for key, seconds in self._seconds.items() if seconds >= 1]:
            whole = int(self._seconds[key])
            self._seconds[key] -= whole
            entries.append(UsageEntry(tenant_id=key[0], client_id=key[1], connection_seconds=whole))
            if not self._seconds[key]:
                del self._seconds[key]
        return entries

    def _queue(self, entries: list[UsageEntry], reports: list[BridgeReport]) -> None:
        # A bridge's report goes with its counts: both are applied, or neither.
        if len(entries) <= MAX_ENTRIES_PER_BATCH:
            if entries or reports:
                self._pending.append(
                    UsageRecorded(server_id=self._server_id, entries=entries, bridges=reports)
                )
            return
        by_tenant: dict[str, list[UsageEntry]] = {}
        for entry in entries:
            by_tenant.setdefault(entry.tenant_id, []).append(entry)
        for tenant_id, some in by_tenant.items():
            mine = [report for report in reports if report.tenant_id == tenant_id]
            self._pending.append(UsageRecorded(server_id=self._server_id, entries=some, bridges=mine))

    async def _publish_batches(self) -> None:
        while self._pending:
            try:
                await self._bus.publish(self._pending[0])
            except CommandError as error:
                log.warning("usage_waits", batches=len(self._pending), reason=error.detail)
                if len(self._pending) > MAX_PENDING_BATCHES:
                    log.error("usage_dropped", batches=1)
                    del self._pending[0]
                return
            del self._pending[0]
