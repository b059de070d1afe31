"""Copies daily totals from Redis to DynamoDB."""

from datetime import timedelta

from artcafe_common.clock import now
from artcafe_metering.archive import UsageArchive
from artcafe_metering.periods import LATE_DAYS
from artcafe_metering.store import UsageCounters
from artcafe_metering.tables import DayItem

RECENT_DAYS = 2
LATE_EVERY_RUNS = 60
TENANTS_PER_READ = 500


class Rollup:
    """Writes absolute totals, so repeated and concurrent runs are harmless."""

    def __init__(self, counters: UsageCounters, archive: UsageArchive) -> None:
        self._counters = counters
        self._archive = archive
        self._runs = 0
        self._written: dict[str, DayItem] = {}

    async def run(self) -> None:
        """Write the totals of recent days that changed; every 60th run also covers days of late batches."""
        days = LATE_DAYS if self._runs % LATE_EVERY_RUNS == 0 else RECENT_DAYS
        today = now().date()
        written: dict[str, DayItem] = {}
        for day in [today - timedelta(days=back) for back in range(days)]:
            tenants = await self._counters.active_tenants(day)
            for start in range(0, len(tenants), TENANTS_PER_READ):
                tenant_days = [(tenant_id, day) for tenant_id in tenants[start : start + TENANTS_PER_READ]]
                for item in await self._counters.daily_totals(tenant_days):
                    if self._written.get(item.id) != item:
                        await self._archive.raise_totals(item)
                    written[item.id] = item
        # Replaced only after a complete run; items of other days are dropped.
        self._written = written
        self._runs += 1
