"""Publishes when a tenant reaches 80 or 100 percent of its monthly messages."""

import hashlib
from datetime import UTC, date, datetime, time

import msgspec
from ulid import ULID

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import Forbidden
from artcafe_common.cache import Cache
from artcafe_common.clock import now
from artcafe_common.contracts.metering import QuotaCrossed
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, GetAccount
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import LIMITS
from artcafe_metering.periods import billing_month
from artcafe_metering.store import UsageCounters

THRESHOLDS_PERCENT = (80, 100)
ACCOUNT_DEADLINE_S = 2.0
LIMIT_TTL_S = 300


class QuotaMonitor:
    """Compares the monthly usage of tenants whose counters changed with their plans' limits."""

    def __init__(self, bus: Bus, counters: UsageCounters) -> None:
        self._bus = bus
        self._counters = counters
        self._limits: Cache[str, int | None] = Cache(size=20_000, age_s=LIMIT_TTL_S)
        self._started = False

    async def subscribe(self) -> None:
        """Subscribe to changes of plans."""
        await self._bus.subscribe(PlanChanged, self._on_plan_changed)

    async def on_reconnect(self) -> None:
        """Drop cached limits, because changes of plans may have been missed."""
        self._limits.clear()

    async def check(self) -> None:
        """Publish every threshold that was crossed since the last check."""
        today = now().date()
        if not self._started:
            # Usage counted before this instance started may not have been checked.
            self._counters.changed_tenants.update(await self._counters.active_tenants(today))
            self._started = True
        tenants = sorted(self._counters.changed_tenants)
        self._counters.changed_tenants.clear()
        unchecked = set(tenants)
        try:
            first, _ = billing_month(now())
            for tenant_id, used in (await self._counters.monthly_messages(tenants, first)).items():
                await self._check_tenant(tenant_id, first, used)
                unchecked.discard(tenant_id)
        finally:
            self._counters.changed_tenants.update(unchecked)

    async def _check_tenant(self, tenant_id: str, first: date, used: int) -> None:
        limit = await self._limits.get(tenant_id, lambda: self._fetch_limit(tenant_id))
        for percent in THRESHOLDS_PERCENT:
            if limit is None or used * 100 < limit * percent:
                continue
            crossing = f"{first:%Y%m}:{tenant_id}:{percent}:{limit}"
            if await self._counters.is_crossing_published(crossing):
                continue
            # Published before it is marked: after a crash it is published again with the same event id.
            await self._bus.publish(
                QuotaCrossed(
                    event_id=_event_id(first, crossing),
                    tenant_id=tenant_id,
                    percent=percent,
                    used=used,
                    limit=limit,
                )
            )
            await self._counters.mark_crossing_published(crossing)

    async def _fetch_limit(self, tenant_id: str) -> int | None:
        caller = msgspec.structs.replace(CallerContext.service("metering"), tenant_id=tenant_id)
        try:
            account = await self._bus.call(
                GetAccount(), caller=caller, deadline_s=ACCOUNT_DEADLINE_S, wait_for_recovery=False
            )
        except (AccountNotFound, Forbidden):
            return None
        return LIMITS[account.plan].messages_per_month

    async def _on_plan_changed(self, event: PlanChanged) -> None:
        self._limits.invalidate(event.tenant_id)
        self._counters.changed_tenants.add(event.tenant_id)


def _event_id(first: date, crossing: str) -> str:
    month_start_ms = int(datetime.combine(first, time(), UTC).timestamp() * 1000)
    return str(ULID.from_bytes(month_start_ms.to_bytes(6) + hashlib.sha256(crossing.encode()).digest()[:10]))
