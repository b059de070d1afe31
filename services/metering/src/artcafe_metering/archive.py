"""The archive of daily totals: the only code that accesses DynamoDB."""

from datetime import date, timedelta

import msgspec
from boto3.dynamodb.conditions import Attr, Key

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.concurrency import run_together
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_metering.tables import TABLES, TOTALS, USAGE_METRICS, DayItem, day_id

# Each failure means that another instance has raised the totals meanwhile.
MAX_ATTEMPTS = 5


class UsageArchive:
    """The daily totals in DynamoDB, which do not expire."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._days = TenantTable(database, USAGE_METRICS)

    async def check(self) -> None:
        """Raise StoreUnavailable unless the table exists."""
        await self._database.check_tables(TABLES)

    async def raise_totals(self, day: DayItem) -> None:
        """Store a day's totals, each as the maximum of the stored and the given value.

        Raises StoreUnavailable when concurrent writes prevent it; the next rollup writes it again.
        """
        for _ in range(MAX_ATTEMPTS):
            if await self._try_raise(day) or await self._try_create(day):
                return
            stored = await self._days.get(day.tenant_id, day.id, consistent=True)
            if stored is not None:
                highest = {name: max(getattr(stored, name), getattr(day, name)) for name in TOTALS}
                if all(getattr(stored, name) == value for name, value in highest.items()):
                    return
                day = msgspec.structs.replace(day, **highest)
        raise StoreUnavailable("other instances are writing the day's totals")

    async def _try_create(self, day: DayItem) -> bool:
        try:
            await self._days.put(day.tenant_id, day, new=True)
        except ConditionFailed:
            return False
        return True

    async def _try_raise(self, day: DayItem) -> bool:
        not_lower = Attr("id").exists()
        for name in TOTALS:
            not_lower &= Attr(name).lte(getattr(day, name))
        values = {name: getattr(day, name) for name in TOTALS}
        try:
            await self._days.update(day.tenant_id, day.id, set_=values, condition=not_lower)
        except ConditionFailed:
            return False
        return True

    async def delete_tenant(self, tenant_id: str) -> None:
        """Remove all days of a tenant. Idempotent."""
        await self._days.delete_all(tenant_id)

    async def list_days(self, tenant_id: str, first: date, last: date) -> list[DayItem]:
        """The stored days of a period, both ends included."""
        page = await self._days.list(
            tenant_id, limit=(last - first).days + 1, range_=Key("date").between(str(first), str(last))
        )
        return page.items

    async def list_current_days(
        self, tenant_id: str, first: date, last: date, *, latest: int
    ) -> list[DayItem]:
        """As `list_days`, but the `latest` days, which are still written, are strongly consistent."""
        days = {day.id: day for day in await self.list_days(tenant_id, first, last)}
        ids = [day_id(tenant_id, last - timedelta(days=back)) for back in range(latest)]
        read = await run_together(*(self._days.get(tenant_id, each, consistent=True) for each in ids))
        days |= {day.id: day for day in read if day is not None}
        return [days[each] for each in sorted(days)]
