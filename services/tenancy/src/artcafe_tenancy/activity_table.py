"""DynamoDB access to the activity log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from artcafe_common.contracts.tenancy.activity import Activity, StoredActivity
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_common.storage.table import Page
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.outbox import to_item, to_timestamp
from artcafe_tenancy.tables import ACTIVITY, ActivityItem, ActivitySummaryFields

# DynamoDB queries per filtered page, of a hundred entries or more each.
MAX_READS = 20
# Entries with all their fields, of which the summary keeps a few.
MAX_SUMMARY_BYTES = 8 * 1024**2


class ActivityTable:
    """The activity entries of a tenant."""

    def __init__(self, database: Database) -> None:
        self._items = TenantTable(database, ACTIVITY)
        # The same items, read without the large fields that only the log itself returns.
        self._summary_fields = TenantTable(
            database,
            TableSpec(
                name=ACTIVITY.name, item=ActivitySummaryFields, partition="id", indexes=ACTIVITY.indexes
            ),
        )

    async def record(self, tenant_id: str, activity: Activity) -> None:
        """Store an entry unless it exists."""
        try:
            await self._items.put(tenant_id, to_item(tenant_id, activity), new=True)
        except ConditionFailed:
            return

    async def record_all(self, entries: Sequence[StoredActivity]) -> None:
        """Store entries whose ids are derived from what they record, so that they can be stored again."""
        await self._items.put_all(
            (each.tenant_id, to_item(each.tenant_id, each.activity)) for each in entries
        )

    async def delete_all(self, tenant_id: str) -> None:
        """Remove all entries of a tenant. Idempotent."""
        await self._items.delete_all(tenant_id)

    async def list(
        self,
        tenant_id: str,
        *,
        since: datetime,
        limit: int,
        position: dict[str, Any] | None = None,
        equal: Mapping[str, str | None] = MappingProxyType({}),
    ) -> Page[ActivityItem]:
        """A page of entries, newest first, whose attributes have the values in `equal` that are not None.

        A page of rare entries may be short or empty without being the last.
        """
        where: ConditionBase | None = None
        for name, wanted in equal.items():
            if wanted is not None:
                condition = Attr(name).eq(str(wanted))
                where = condition if where is None else where & condition
        return await self._items.list(
            tenant_id,
            limit=limit,
            position=position,
            where=where,
            range_=Key("timestamp").gte(to_timestamp(since)),
            newest_first=True,
            max_reads=MAX_READS,
        )

    async def list_summary_fields(
        self, tenant_id: str, since: datetime, *, limit: int, position: dict[str, Any] | None
    ) -> Page[ActivitySummaryFields]:
        """A page of the fields that the summary counts, newest first."""
        return await self._summary_fields.list(
            tenant_id,
            limit=limit,
            position=position,
            range_=Key("timestamp").gte(to_timestamp(since)),
            newest_first=True,
            max_bytes=MAX_SUMMARY_BYTES,
        )
