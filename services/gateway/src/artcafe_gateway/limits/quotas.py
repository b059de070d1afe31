"""Which organizations have published as many messages as their plan allows in a month."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.metering import GetCurrentUsage, QuotaCrossed
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import LIMITS
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.lookup_cache import LookupCache, caller_for_tenant

ASK_S = 1.0
log = structlog.get_logger()


class Quotas:
    """Tells each open bridge whether its organization may publish: at its opening, and at news."""

    def __init__(self, bus: Bus, directory: LookupCache, bridges: BridgePool) -> None:
        self._bus = bus
        self._lookup_cache = directory
        self._bridges = bridges
        # The latest question about each bridge: an answer to one before it is out of date.
        self._asked: dict[Bridge, object] = {}

    async def subscribe(self) -> None:
        """Hear when a quota is crossed and when a plan changes."""
        await self._bus.subscribe(QuotaCrossed, self._crossed)
        await self._bus.subscribe(PlanChanged, self._plan_changed)

    async def refresh(self, bridge: Bridge) -> None:
        """Ask how much of its month a bridge's organization has left; without an answer all stays as it is."""
        question = self._asked[bridge] = object()
        try:
            ends_at = await self._spent_until(bridge.tenant_id)
        except CommandError as error:
            log.warning("quota_not_known", tenant_id=bridge.tenant_id, reason=error.detail)
        else:
            if self._asked.get(bridge) is question:
                bridge.quota_exhausted_until = ends_at
        finally:
            if self._asked.get(bridge) is question:
                del self._asked[bridge]

    async def refresh_all(self) -> None:
        """Ask for every open bridge: news may have been missed."""
        for bridge in self._bridges.open_bridges:
            await self.refresh(bridge)

    async def _spent_until(self, tenant_id: str) -> float:
        plan = await self._lookup_cache.plan(tenant_id)
        if LIMITS[plan].messages_per_month is None:
            return 0.0
        usage = await self._bus.call(
            GetCurrentUsage(plan=plan),
            caller=caller_for_tenant(tenant_id),
            deadline_s=ASK_S,
            wait_for_recovery=False,
        )
        limit = usage.messages.limit
        if limit is None or usage.messages.used < limit:
            return 0.0
        return datetime.combine(usage.period_end + timedelta(days=1), time(), UTC).timestamp()

    async def _crossed(self, event: QuotaCrossed) -> None:
        await self._news(event.tenant_id)

    async def _plan_changed(self, event: PlanChanged) -> None:
        self._lookup_cache.forget_plan(event.tenant_id)
        await self._news(event.tenant_id)

    async def _news(self, tenant_id: str) -> None:
        concerned = [bridge for bridge in self._bridges.open_bridges if bridge.tenant_id == tenant_id]
        await asyncio.gather(*map(self.refresh, concerned))
