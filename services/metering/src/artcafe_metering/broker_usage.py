"""Usage of direct NATS connections, from the broker's traffic totals of each connection.

Totals are absolute, so reading them twice, late, or from several instances counts nothing twice.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Container, Iterable, Sequence
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
    list_closed_connections,
)
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.clock import now
from artcafe_common.contracts.metering import DirectTraffic
from artcafe_metering.api_floods import ApiFloodMonitor
from artcafe_metering.connections import ConnectionSnapshot, TrafficTotals
from artcafe_metering.open_connections import OpenConnections
from artcafe_metering.owners import ConnectionOwner, OwnerResolver
from artcafe_metering.recovery import UsageRecovery
from artcafe_metering.store import UsageCounters

# An idle connection is counted this often, for its connection time only.
IDLE_INTERVAL_S = 15.0
# Of so many at a time: more are counted less often.
MAX_IDLE = 500
# How far back closed connections are read; the counters of a closed connection expire after twice that.
CLOSED_LOOKBACK = timedelta(days=1)
LOOKBACK_OVERLAP = timedelta(minutes=1)
MAX_PENDING_DISCONNECTS = 10_000

log = structlog.get_logger()


class _Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of an open connection last, and when."""

    totals: TrafficTotals
    owner: ConnectionOwner
    at: float


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
        self._open = OpenConnections(system, is_counted=self._is_direct)
        self._disconnected: deque[ConnectionSnapshot] = deque(maxlen=MAX_PENDING_DISCONNECTS)
        # By connection key, those that were counted longest ago first.
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        # Connections that moved and were not counted, by key: their owner may be found later, and their accounts may not
        # be listed again soon.
        self._uncounted: dict[str, ConnectionSnapshot] = {}
        self._closed_read_until: datetime | None = None
        # How long the last `collect_open` took.
        self.seconds = 0.0

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
            self._open.remove(snapshot)
            self._disconnected.append(snapshot)

    async def collect_open(self) -> None:
        """Count the traffic of open connections, and of those that closed since the last call."""
        began = time.monotonic()
        listed = await self._open.read()
        at = now()
        self._floods.observe(listed, self._open.__contains__)
        disconnected = list(self._disconnected)
        self._uncounted |= {each.key: each for each in listed if self._has_changed(each)}
        changed = [each for each in self._uncounted.values() if each.key in self._open]
        owned, _ = await self._with_owners([*disconnected, *changed])
        traffic = {snapshot.key: owner for snapshot, owner in owned}
        owned += self._idle(traffic)
        await self._recovery.ensure(snapshot.tenant_id for snapshot, _owner in owned)
        counted = {
            snapshot.key: before.totals
            for snapshot, _owner in owned
            if (before := self._counted.get(snapshot.key)) is not None
        }
        await self._counters.apply_broker_totals(at, owned, counted)
        self._uncounted = {each.key: each for each in changed if each.key not in traffic}
        # Those without a known owner are read again from the list of closed connections.
        for _ in disconnected:
            self._disconnected.popleft()
        for snapshot, owner in owned:
            self._counted[snapshot.key] = _Counted(totals=snapshot.totals, owner=owner, at=time.monotonic())
            self._counted.move_to_end(snapshot.key)
        for key in [key for key in self._counted if key not in self._open]:
            del self._counted[key]
        await self._floods.check(traffic)
        self.seconds = time.monotonic() - began

    async def collect_closed(self) -> None:
        """Count closed connections whose DISCONNECT event was missed, during a restart or an outage."""
        at = now()
        since = at - CLOSED_LOOKBACK
        if self._closed_read_until is not None:
            since = max(since, self._closed_read_until - LOOKBACK_OVERLAP)
        closed = _tenant_connections(await list_closed_connections(self._system, since))
        owned, without_owner = await self._with_owners(closed)
        await self._recovery.ensure(snapshot.tenant_id for snapshot, _owner in owned)
        await self._counters.apply_broker_totals(at, owned)
        if not without_owner:
            self._closed_read_until = at

    def direct_traffic(self) -> list[DirectTraffic]:
        """The traffic of open direct connections by tenant, the busiest first, as of the last `collect_open`."""
        return _sum_by_tenant(each for each in self._open if self._is_direct(each.key, unless_known=False))

    def _is_direct(self, key: str, *, unless_known: bool = True) -> bool:
        """Whether a connection's traffic is counted from the broker's totals, and not reported by a gateway."""
        counted = self._counted.get(key)
        return unless_known if counted is None else not counted.owner.bridge

    def _has_changed(self, snapshot: ConnectionSnapshot) -> bool:
        counted = self._counted.get(snapshot.key)
        return counted is None or counted.totals != snapshot.totals

    def _idle(self, others: Container[str]) -> list[tuple[ConnectionSnapshot, ConnectionOwner]]:
        """Some connections of which nothing was counted for a while: their connection time is."""
        idle: list[tuple[ConnectionSnapshot, ConnectionOwner]] = []
        before = time.monotonic() - IDLE_INTERVAL_S
        for key, counted in self._counted.items():
            if counted.at > before or len(idle) == MAX_IDLE:
                break
            snapshot = self._open.get(key)
            if snapshot is not None and key not in others:
                idle.append((snapshot, counted.owner))
        return idle

    async def _with_owners(
        self, snapshots: Sequence[ConnectionSnapshot]
    ) -> tuple[list[tuple[ConnectionSnapshot, ConnectionOwner]], list[ConnectionSnapshot]]:
        """The snapshots that are counted, with their owners, and those whose owner could not be determined."""
        owners = await self._owners.resolve(list(snapshots))
        owned = [
            (snapshot, owner) for snapshot in snapshots if (owner := owners.get(snapshot.key)) is not None
        ]
        return owned, [snapshot for snapshot in snapshots if snapshot.key not in owners]


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
