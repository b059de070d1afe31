"""Who has used four fifths of a month's messages, or all: told once, whoever counts."""

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
from artcafe_metering.periods import month_of
from artcafe_metering.store import Counters

PERCENTS = (80, 100)
ASK_S = 2.0
PLAN_AGE_S = 300


class QuotaWatch:
    """Looks at the months of those for whom something was just counted."""

    def __init__(self, bus: Bus, counters: Counters) -> None:
        self._bus = bus
        self._counters = counters
        self._limits: Cache[str, int | None] = Cache(size=20_000, age_s=PLAN_AGE_S)
        self._caught_up = False

    async def watch(self) -> None:
        """Hear of new plans."""
        await self._bus.subscribe(PlanChanged, self._plan_changed)

    async def news_missed(self) -> None:
        """Plans may have changed unheard."""
        self._limits.clear()

    async def check(self) -> None:
        """Announce every threshold that was reached since the last time."""
        today = now().date()
        if not self._caught_up:
            # What was counted before this instance began may not have been looked at.
            self._counters.touched.update(await self._counters.tenants_of(today))
            self._caught_up = True
        tenants = sorted(self._counters.touched)
        self._counters.touched.clear()
        waiting = set(tenants)
        try:
            first, _ = month_of(now())
            for tenant_id, used in (await self._counters.messages_of(tenants, first)).items():
                await self._check(tenant_id, first, used)
                waiting.discard(tenant_id)
        finally:
            self._counters.touched.update(waiting)

    async def _check(self, tenant_id: str, first: date, used: int) -> None:
        limit = await self._limits.get(tenant_id, lambda: self._limit(tenant_id))
        for percent in PERCENTS:
            if limit is None or used * 100 < limit * percent:
                continue
            name = f"{first:%Y%m}:{tenant_id}:{percent}:{limit}"
            if await self._counters.was_announced(name):
                continue
            # First told, then remembered: whoever is killed in between tells it again, as the same event.
            await self._bus.publish(
                QuotaCrossed(
                    event_id=_event_id(first, name),
                    tenant_id=tenant_id,
                    percent=percent,
                    used=used,
                    limit=limit,
                )
            )
            await self._counters.remember_announced(name)

    async def _limit(self, tenant_id: str) -> int | None:
        caller = msgspec.structs.replace(CallerContext.service("metering"), tenant_id=tenant_id)
        try:
            account = await self._bus.call(
                GetAccount(), caller=caller, deadline_s=ASK_S, wait_for_recovery=False
            )
        except (AccountNotFound, Forbidden):
            return None
        return LIMITS[account.plan].messages_per_month

    async def _plan_changed(self, event: PlanChanged) -> None:
        self._limits.invalidate(event.tenant_id)
        self._counters.touched.add(event.tenant_id)


def _event_id(first: date, name: str) -> str:
    began = int(datetime.combine(first, time(), UTC).timestamp() * 1000)
    return str(ULID.from_bytes(began.to_bytes(6) + hashlib.sha256(name.encode()).digest()[:10]))
