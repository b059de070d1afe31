"""Daily totals, written to where they are kept for good."""

from datetime import timedelta

from artcafe_common.clock import now
from artcafe_metering.store import Archive, Counters
from artcafe_metering.tables import DayItem

RECENT_DAYS = 2
# A batch can be as old as the stream of events keeps it.
LATE_DAYS = 8
LATE_EVERY = 60
TENANTS_AT_ONCE = 500


class Rollup:
    """Writes absolute totals, so that it can be done twice, or by several instances at once."""

    def __init__(self, counters: Counters, archive: Archive) -> None:
        self._counters = counters
        self._archive = archive
        self._round = 0
        self._written: dict[str, DayItem] = {}

    async def run(self) -> None:
        """Write every recent day that changed; now and then also the days that late batches reach."""
        days = LATE_DAYS if self._round % LATE_EVERY == 0 else RECENT_DAYS
        today = now().date()
        written: dict[str, DayItem] = {}
        for day in [today - timedelta(days=back) for back in range(days)]:
            tenants = await self._counters.tenants_of(day)
            for start in range(0, len(tenants), TENANTS_AT_ONCE):
                wanted = [(tenant_id, day) for tenant_id in tenants[start : start + TENANTS_AT_ONCE]]
                for item in await self._counters.days(wanted):
                    if self._written.get(item.id) != item:
                        await self._archive.raise_to(item)
                    written[item.id] = item
        # Only what was all written is remembered, and only as long as it is looked at.
        self._written = written
        self._round += 1
