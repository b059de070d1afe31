"""DynamoDB access to the activity log."""

from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from artcafe_common.contracts.tenancy.activity import Activity, ActivityStatus, ActivityType
from artcafe_common.storage.dynamo import ConditionFailed, Database, Page
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.outbox import item_of, stamp
from artcafe_tenancy.tables import ACTIVITY, ActivityItem, ActivityMark

# How far a filtered page reads on, a hundred entries or more at a time.
MAX_READS = 20


class ActivityTable:
    """The entries of one tenant at a time."""

    def __init__(self, database: Database) -> None:
        self._items = TenantTable(database, ACTIVITY)
        # The same entries, without what is expensive to read and only the log itself shows.
        self._marks = TenantTable(
            database,
            TableSpec(name=ACTIVITY.name, item=ActivityMark, partition="id", indexes=ACTIVITY.indexes),
        )

    async def keep(self, tenant_id: str, activity: Activity) -> None:
        """Store an entry, unless it is there already."""
        try:
            await self._items.put(tenant_id, item_of(tenant_id, activity), new=True)
        except ConditionFailed:
            return

    async def list(
        self,
        tenant_id: str,
        *,
        since: datetime,
        limit: int,
        position: dict[str, Any] | None = None,
        type_: ActivityType | None = None,
        status: ActivityStatus | None = None,
    ) -> Page[ActivityItem]:
        """A page of entries, newest first; of one type or status if given.

        Where these are rare a page may be short, even empty, and yet not the last.
        """
        where: ConditionBase | None = None
        for name, wanted in (("type", type_), ("status", status)):
            if wanted is not None:
                one = Attr(name).eq(wanted.value)
                where = one if where is None else where & one
        return await self._items.list(
            tenant_id,
            limit=limit,
            position=position,
            where=where,
            range_=Key("timestamp").gte(stamp(since)),
            newest_first=True,
            max_reads=MAX_READS,
        )

    async def marks(
        self, tenant_id: str, since: datetime, *, limit: int, position: dict[str, Any] | None
    ) -> Page[ActivityMark]:
        """A page of what is counted, newest first."""
        return await self._marks.list(
            tenant_id,
            limit=limit,
            position=position,
            range_=Key("timestamp").gte(stamp(since)),
            newest_first=True,
        )
