"""Reports usage to metering: in batches, at least every second, each exactly once."""

import asyncio

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.metering import BridgeReport, UsageEntry, UsageRecorded
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.pool import BridgePool

# Unpublished batches, each with the counts of one interval; beyond this the oldest is dropped.
MAX_PENDING_BATCHES = 10_000
MAX_ENTRIES_PER_BATCH = 2_000
log = structlog.get_logger()


class UsageRecorder:
    """Counts deliveries, REST calls and connection time; bridges count publishes."""

    def __init__(self, *, bus: Bus, bridges: BridgePool, server_id: str) -> None:
        self._bus = bus
        self._bridges = bridges
        self._server_id = server_id
        # By tenant, client and channel: deliveries, payload bytes.
        self._deliveries: dict[tuple[str, str, str], list[int]] = {}
        self._api_calls: dict[str, int] = {}
        self._connection_seconds: dict[tuple[str, str], float] = {}
        self._batches: list[UsageRecorded] = []
        self._lock = asyncio.Lock()

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

    def record_connection_time(self, tenant_id: str, client_id: str, seconds: float) -> None:
        """Adds to the time that a client's sockets were open."""
        key = (tenant_id, client_id)
        self._connection_seconds[key] = self._connection_seconds.get(key, 0.0) + seconds

    async def flush(self) -> None:
        """Publishes all counts; batches that cannot be published are retried in order."""
        async with self._lock:
            entries, reports = self._collect_entries(), []
            for bridge in self._bridges.open_bridges:
                published, report = await bridge.collect_usage()
                entries += published
                reports += [] if report is None else [report]
            self._queue(entries, reports)
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
        for key in [key for key, seconds in self._connection_seconds.items() if seconds >= 1]:
            whole = int(self._connection_seconds[key])
            self._connection_seconds[key] -= whole
            entries.append(UsageEntry(tenant_id=key[0], client_id=key[1], connection_seconds=whole))
            if not self._connection_seconds[key]:
                del self._connection_seconds[key]
        return entries

    def _queue(self, entries: list[UsageEntry], reports: list[BridgeReport]) -> None:
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

    async def _publish_batches(self) -> None:
        while self._batches:
            try:
                await self._bus.publish(self._batches[0])
            except CommandError as error:
                log.warning("usage_batch_deferred", batches=len(self._batches), reason=error.detail)
                if len(self._batches) > MAX_PENDING_BATCHES:
                    log.error("usage_batch_dropped")
                    del self._batches[0]
                return
            del self._batches[0]
