"""Direct NATS traffic, counted from what the broker knows of each connection.

Everything here is absolute (totals of a connection), so it can be told twice, late, or by
several instances at once.
"""

import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError

from artcafe_common.broker.system_account import DISCONNECTED, ConnectionEvent, list_connections
from artcafe_common.bus.client import EVENTS_STREAM, Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import now
from artcafe_metering.connections import Seen, Totals
from artcafe_metering.ingest import IngestReader
from artcafe_metering.owners import Owner, Owners
from artcafe_metering.store import Counters

# A connection that did nothing is counted anew this often, for its time alone.
IDLE_S = 15.0
# How far back ended connections are read; the counters remember them for twice as long.
HORIZON = timedelta(days=1)
MARGIN = timedelta(minutes=1)
WAITING_ENDS = 10_000

log = structlog.get_logger()


class BrokerMeter:
    """Reads the broker's counters into ours."""

    def __init__(self, *, system: Nats, owners: Owners, ingest: IngestReader, counters: Counters) -> None:
        self._system = system
        self._owners = owners
        self._ingest = ingest
        self._counters = counters
        self._ended: deque[Seen] = deque(maxlen=WAITING_ENDS)
        self._applied: dict[str, tuple[Totals, float]] = {}
        self._read_until: datetime | None = None

    async def listen(self) -> None:
        """Hear of every connection that ends, from now on."""
        await self._system.subscribe(DISCONNECTED, cb=self._on_end)

    async def _on_end(self, message: Msg) -> None:
        try:
            event = msgspec.json.decode(message.data, type=ConnectionEvent)
        except msgspec.DecodeError:
            log.exception("event_not_understood", subject=message.subject)
            return
        seen = Seen.ended(event, now())
        if seen.is_tenants:
            self._ended.append(seen)

    async def poll(self) -> None:
        """Count what open connections did, and those that ended since the last time."""
        listings = await list_connections(self._system)
        at = now()
        ended = list(self._ended)
        # Read after the counters, so that what they hold of it is known when they are applied.
        drained = await self._ingest.drain()
        open_ = [Seen.listed(each.server.id, one) for each in listings for one in each.connections]
        open_ = [seen for seen in open_ if seen.is_tenants]
        changed = [seen for seen in open_ if self._is_news(seen)]
        owned, _ = await self._owned([*ended, *changed])
        await self._counters.apply_broker(at, owned, stream=drained.stream, ingested=drained.ingested)
        await drained.acknowledge()
        # Those that nobody could tell the owner of are in the list of the closed ones as well.
        for _ in ended:
            self._ended.popleft()
        still_open = {seen.key for seen in open_}
        self._applied = {key: value for key, value in self._applied.items() if key in still_open}
        for seen, _owner in owned:
            if seen.key in still_open:
                self._applied[seen.key] = (seen.totals, time.monotonic())

    async def read_closed(self) -> None:
        """Count connections whose end was not heard of: metering was away, or a store was."""
        at = now()
        since = at - HORIZON
        if self._read_until is not None:
            since = max(since, self._read_until - MARGIN)
        listings = await list_connections(self._system, closed=True)
        closed = [Seen.listed(each.server.id, one) for each in listings for one in each.connections]
        closed = [seen for seen in closed if seen.is_tenants and seen.stop and seen.stop > since]
        owned, complete = await self._owned(closed)
        await self._counters.apply_broker(at, owned)
        if complete:
            self._read_until = at

    def _is_news(self, seen: Seen) -> bool:
        totals, at = self._applied.get(seen.key, (None, 0.0))
        return totals != seen.totals or time.monotonic() - at > IDLE_S

    async def _owned(self, some: Sequence[Seen]) -> tuple[list[tuple[Seen, Owner]], bool]:
        owners = await self._owners.resolve(list(some))
        owned = [(seen, owner) for seen in some if (owner := owners.get(seen.key)) is not None]
        return owned, all(seen.key in owners for seen in some)


class BridgeSettler:
    """Counts what a gateway published but could not report before it was killed."""

    def __init__(self, *, bus: Bus, counters: Counters, durable: str, after_s: float) -> None:
        self._js = bus.nc.jetstream(timeout=2)
        self._counters = counters
        self._durable = durable
        self._after = timedelta(seconds=after_s)

    async def settle(self) -> None:
        """Settle the bridges that ended a while ago, once every stored batch was applied."""
        at = now()
        bridges = await self._counters.ended_bridges(at - self._after)
        if bridges and await self._all_applied():
            await self._counters.settle(at, bridges)
            log.info("bridges_settled", count=len(bridges))

    async def _all_applied(self) -> bool:
        try:
            info = await self._js.consumer_info(EVENTS_STREAM, self._durable)
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the events' consumer is not available") from error
        return not info.num_pending and not info.num_ack_pending
