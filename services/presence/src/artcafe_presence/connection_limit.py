"""Ends the connections of an organization beyond its plan's number, over every transport."""

import time
from collections.abc import Sequence

import msgspec
import structlog
from cachetools import TTLCache

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError, Forbidden
from artcafe_common.cache import Cache
from artcafe_common.contracts.gateway import CloseReason
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, GetAccount
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import LIMITS
from artcafe_presence.connection_ender import ConnectionEnder
from artcafe_presence.records import TenantConnection
from artcafe_presence.store import Store

SMALLEST_LIMIT = min(limits.connections for limits in LIMITS.values() if limits.connections is not None)
PLAN_DEADLINE_S = 2.0
PLAN_TTL_S = 300
PAUSE_AFTER_FAILURE_S = 1.0
# A connection that is still there after this time is ended again.
REPEAT_AFTER_S = 1.0
MAX_ENDED = 100_000
log = structlog.get_logger()


def select_excess(connections: Sequence[TenantConnection], limit: int) -> list[TenantConnection]:
    """The newest connections beyond the limit."""
    return sorted(connections, key=lambda each: (each.connected_at, each.id))[limit:]


class ConnectionLimitEnforcer:
    """Compares the number of connections with the plan whenever an organization's connections or plan change.

    Connections are refused at login where their number is known then; here end those that were not: of users that
    the organization issued itself, after a change to a smaller plan, or accepted while presence was not available.
    """

    def __init__(self, *, bus: Bus, ender: ConnectionEnder, store: Store) -> None:
        self._bus = bus
        self._ender = ender
        self._store = store
        self._limits: Cache[str, int | None] = Cache(size=20_000, age_s=PLAN_TTL_S)
        self._ended: TTLCache[str, None] = TTLCache(maxsize=MAX_ENDED, ttl=REPEAT_AFTER_S)
        self._paused_until = 0.0

    async def subscribe(self) -> None:
        """Subscribe to changes of plans, which every instance caches."""
        await self._bus.subscribe(PlanChanged, self.on_plan_changed)

    async def on_reconnect(self) -> None:
        """Drop cached plans, because their changes may have been missed."""
        self._limits.clear()

    async def on_plan_changed(self, event: PlanChanged) -> None:
        """Compare the organization's connections with its new plan. Idempotent."""
        self._limits.invalidate(event.tenant_id)
        self._store.changed_tenants.add(event.tenant_id)

    async def check(self) -> None:
        """Check the organizations whose connections changed; those over their plan are checked again."""
        tenants = set(self._store.changed_tenants)
        if not tenants or time.monotonic() < self._paused_until:
            return
        self._store.changed_tenants -= tenants
        try:
            for tenant_id, count in (await self._store.count_connections_of(sorted(tenants))).items():
                if count <= SMALLEST_LIMIT or not await self._end_excess(tenant_id, count):
                    tenants.discard(tenant_id)
        except CommandError:
            self._paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            raise
        finally:
            self._store.changed_tenants |= tenants

    async def _end_excess(self, tenant_id: str, count: int) -> bool:
        limit = await self._limits.get(tenant_id, lambda: self._fetch_limit(tenant_id))
        if limit is None or count <= limit:
            return False
        excess = select_excess(await self._store.list_connections_of(tenant_id), limit)
        excess = [each for each in excess if each.id not in self._ended]
        await self._ender.request_end(
            tenant_id, ((each.id, each.transport) for each in excess), CloseReason.PLAN_LIMIT
        )
        self._ended.update((each.id, None) for each in excess)
        if excess:
            log.info("connections_over_plan_ended", tenant_id=tenant_id, count=len(excess), limit=limit)
        return True

    async def _fetch_limit(self, tenant_id: str) -> int | None:
        caller = msgspec.structs.replace(CallerContext.service("presence"), tenant_id=tenant_id)
        try:
            account = await self._bus.call(
                GetAccount(), caller=caller, deadline_s=PLAN_DEADLINE_S, wait_for_recovery=False
            )
        except (AccountNotFound, Forbidden):
            return None
        return LIMITS[account.plan].connections
