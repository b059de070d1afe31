"""Enforces the plan's monthly message quota."""

from datetime import UTC, datetime, time, timedelta
from functools import partial

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_bounded, run_together
from artcafe_common.contracts.metering import GetCurrentUsage, QuotaCrossed
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import LIMITS
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.lookup_cache import LookupCache, caller_for_tenant

USAGE_DEADLINE_S = 1.0
MAX_CONCURRENT_REFRESHES = 50
log = structlog.get_logger()


class Quotas:
    """Sets `quota_exhausted_until` of each open bridge: when it opens, and when usage or plan change."""

    def __init__(self, bus: Bus, lookup_cache: LookupCache, bridges: BridgePool) -> None:
        self._bus = bus
        self._lookup_cache = lookup_cache
        self._bridges = bridges
        # The latest refresh of each bridge: the result of an earlier one is outdated.
        self._latest: dict[Bridge, object] = {}

    async def subscribe(self) -> None:
        """Subscribe to events that change whether an organization may publish."""
        await self._bus.subscribe(QuotaCrossed, self._on_quota_crossed)
        await self._bus.subscribe(PlanChanged, self._on_plan_changed)

    async def refresh(self, bridge: Bridge) -> None:
        """Update a bridge from the organization's usage; unchanged when metering does not answer."""
        refresh = self._latest[bridge] = object()
        try:
            exhausted_until = await self._exhausted_until(bridge.tenant_id)
        except CommandError as error:
            log.warning("quota_not_refreshed", tenant_id=bridge.tenant_id, reason=error.detail)
        else:
            if self._latest.get(bridge) is refresh:
                bridge.quota_exhausted_until = exhausted_until
        finally:
            if self._latest.get(bridge) is refresh:
                del self._latest[bridge]

    async def refresh_all(self) -> None:
        """Update every open bridge: events may have been missed."""
        bridges = self._bridges.open_bridges
        await run_bounded((partial(self.refresh, each) for each in bridges), limit=MAX_CONCURRENT_REFRESHES)

    async def _exhausted_until(self, tenant_id: str) -> float:
        # In Unix seconds; 0 while the quota is not exhausted.
        plan = await self._lookup_cache.plan(tenant_id)
        if LIMITS[plan].messages_per_month is None:
            return 0.0
        usage = await self._bus.call(
            GetCurrentUsage(plan=plan),
            caller=caller_for_tenant(tenant_id),
            deadline_s=USAGE_DEADLINE_S,
            wait_for_recovery=False,
        )
        limit = usage.messages.limit
        if limit is None or usage.messages.used < limit:
            return 0.0
        return datetime.combine(usage.period_end + timedelta(days=1), time(), UTC).timestamp()

    async def _on_quota_crossed(self, event: QuotaCrossed) -> None:
        await self._refresh_tenant(event.tenant_id)

    async def _on_plan_changed(self, event: PlanChanged) -> None:
        self._lookup_cache.invalidate_plan(event.tenant_id)
        await self._refresh_tenant(event.tenant_id)

    async def _refresh_tenant(self, tenant_id: str) -> None:
        bridges = [bridge for bridge in self._bridges.open_bridges if bridge.tenant_id == tenant_id]
        await run_together(*map(self.refresh, bridges))
