"""Usage of direct NATS connections, from the broker's traffic totals of each connection.

Totals are absolute, so reading them twice, late, or from several instances counts nothing twice.
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError

from artcafe_common.broker.system_account import (
    DISCONNECT_EVENTS,
    ConnectionEvent,
    ServerConnections,
    list_connections,
)
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.clock import now
from artcafe_common.contracts.metering import DirectTraffic
from artcafe_metering.api_floods import ApiFloodMonitor
from artcafe_metering.connections import ConnectionSnapshot, TrafficTotals
from artcafe_metering.owners import ConnectionOwner, OwnerResolver
from artcafe_metering.recovery import UsageRecovery
from artcafe_metering.store import UsageCounters

# An idle connection is counted this often, for its connection time only.
IDLE_INTERVAL_S = 15.0
# How far back closed connections are read; the counters of a closed connection expire after twice that.
CLOSED_LOOKBACK = timedelta(days=1)
LOOKBACK_OVERLAP = timedelta(minutes=1)
MAX_PENDING_DISCONNECTS = 10_000

log = structlog.get_logger()


class BrokerUsageCollector:
    """Adds the broker's traffic totals to the usage counters."""

    def __init__(
        self, *, system: Nats, owners: OwnerResolver, counters: UsageCounters, recovery: UsageRecovery
    ) -> None:
        self._system = system
        self._owners = owners
        self._counters = counters
        self._recovery = recovery
        self._floods = ApiFloodMonitor(system)
        self._disconnected: deque[ConnectionSnapshot] = deque(maxlen=MAX_PENDING_DISCONNECTS)
        self._applied: dict[str, tuple[TrafficTotals, float]] = {}
        self._closed_read_until: datetime | None = None
        # Open connections that are gateways' or the platform's own, which are no direct traffic.
        self._not_direct: set[str] = set()
        # By tenant, as of the last `collect_open`.
        self.direct: list[DirectTraffic] = []

    async def subscribe(self) -> None:
        """Subscribe to DISCONNECT events, which carry a connection's last totals."""
        await self._system.subscribe(DISCONNECT_EVENTS, cb=self._on_disconnect)

    async def _on_disconnect(self, message: Msg) -> None:
        try:
            event = msgspec.json.decode(message.data, type=ConnectionEvent)
        except msgspec.DecodeError:
            log.exception("broker_event_invalid", subject=message.subject)
            return
        snapshot = ConnectionSnapshot.from_disconnect(event, now())
        if snapshot.in_tenant_account:
            self._disconnected.append(snapshot)

    async def collect_open(self) -> None:
        """Count the traffic of open connections, and of those that closed since the last call."""
        listings = await list_connections(self._system)
        at = now()
        disconnected = list(self._disconnected)
        open_ = _tenant_connections(listings)
        self._floods.observe(open_)
        changed = [snapshot for snapshot in open_ if self._has_changed(snapshot)]
        owned, _ = await self._with_owners([*disconnected, *changed])
        await self._recovery.ensure(snapshot.tenant_id for snapshot, _owner in owned)
        counted = {key: totals for key, (totals, _) in self._applied.items()}
        await self._counters.apply_broker_totals(at, owned, counted)
        # Those without a known owner are read again from the list of closed connections.
        for _ in disconnected:
            self._disconnected.popleft()
        open_keys = {snapshot.key for snapshot in open_}
        self._applied = {key: value for key, value in self._applied.items() if key in open_keys}
        for snapshot, owner in owned:
            if owner.bridge:
                self._not_direct.add(snapshot.key)
            if snapshot.key in open_keys:
                self._applied[snapshot.key] = (snapshot.totals, time.monotonic())
        self._not_direct &= open_keys
        self.direct = _sum_by_tenant(
            each for each in open_ if each.key in self._applied and each.key not in self._not_direct
        )
        await self._floods.check({snapshot.key: owner for snapshot, owner in owned})

    async def collect_closed(self) -> None:
        """Count closed connections whose DISCONNECT event was missed, during a restart or an outage."""
        at = now()
        since = at - CLOSED_LOOKBACK
        if self._closed_read_until is not None:
            since = max(since, self._closed_read_until - LOOKBACK_OVERLAP)
        listings = await list_connections(self._system, closed=True)
        closed = [
            snapshot
            for snapshot in _tenant_connections(listings)
            if snapshot.stop is not None and snapshot.stop > since
        ]
        owned, complete = await self._with_owners(closed)
        await self._recovery.ensure(snapshot.tenant_id for snapshot, _owner in owned)
        await self._counters.apply_broker_totals(at, owned)
        if complete:
            self._closed_read_until = at

    def _has_changed(self, snapshot: ConnectionSnapshot) -> bool:
        totals, at = self._applied.get(snapshot.key, (None, 0.0))
        return totals != snapshot.totals or time.monotonic() - at > IDLE_INTERVAL_S

    async def _with_owners(
        self, snapshots: Sequence[ConnectionSnapshot]
    ) -> tuple[list[tuple[ConnectionSnapshot, ConnectionOwner]], bool]:
        """The snapshots that are counted, with their owners, and whether every owner was determined."""
        owners = await self._owners.resolve(list(snapshots))
        owned = [
            (snapshot, owner) for snapshot in snapshots if (owner := owners.get(snapshot.key)) is not None
        ]
        return owned, all(snapshot.key in owners for snapshot in snapshots)


class BridgeReconciler:
    """Counts the messages that a gateway published over a bridge but never reported.

        open --DISCONNECT--> closed --`after_s`, and no usage batch is pending--> reconciled

    A report that arrives after that corrects what was counted here.
    """

    def __init__(self, *, bus: Bus, counters: UsageCounters, durable: str, after_s: float) -> None:
        self._js = bus.nc.jetstream(timeout=2)
        self._counters = counters
        self._durable = durable
        self._after = timedelta(seconds=after_s)

    async def reconcile(self) -> None:
        """Reconcile bridges that closed `after_s` ago, once no usage batch is pending."""
        at = now()
        bridges = await self._counters.closed_bridges(at - self._after)
        if bridges and await self._all_batches_applied():
            await self._counters.count_unreported(at, bridges)
            log.info("bridges_reconciled", count=len(bridges))

    async def _all_batches_applied(self) -> bool:
        try:
            info = await self._js.consumer_info(EVENTS_STREAM, self._durable)
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the consumer of the events stream is not available") from error
        return not info.num_pending and not info.num_ack_pending


def _sum_by_tenant(snapshots: Iterable[ConnectionSnapshot]) -> list[DirectTraffic]:
    """The traffic of connections by tenant, the busiest first."""
    by_tenant: dict[str, list[TrafficTotals]] = {}
    for each in snapshots:
        by_tenant.setdefault(each.tenant_id, []).append(each.totals)
    traffic = [
        DirectTraffic(
            tenant_id=tenant_id,
            connections=len(totals),
            messages=sum(each.in_msgs for each in totals),
            deliveries=sum(each.out_msgs for each in totals),
            bytes_in=sum(each.in_bytes for each in totals),
            bytes_out=sum(each.out_bytes for each in totals),
        )
        for tenant_id, totals in by_tenant.items()
    ]
    return sorted(traffic, key=lambda each: each.messages + each.deliveries, reverse=True)


def _tenant_connections(listings: Sequence[ServerConnections]) -> list[ConnectionSnapshot]:
    snapshots = [
        ConnectionSnapshot.from_listing(listing.server.id, connection)
        for listing in listings
        for connection in listing.connections
    ]
    return [snapshot for snapshot in snapshots if snapshot.in_tenant_account]
