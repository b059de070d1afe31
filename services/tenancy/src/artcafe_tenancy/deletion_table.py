"""DynamoDB access to the deletions of organizations.

The states of an organization:

    ACTIVE ── schedule ──▶ DELETED ── begin, at `deletion_at` ──▶ PURGING ── rounds 1 and 2 complete ──▶ (nothing)
       ▲                      │
       └─────── cancel ───────┘

DELETED is a `deletion_at` of the organization's item, PURGING its `purging`: it is hidden from everything but its
deletion. The deletion itself is one item, which the PendingIndex of activities lists when its next step is due. In each
round, the services confirm that they deleted their data of the organization, and then tenancy deletes its own. The
second round deletes what events that were under way have stored after the first.
"""

from datetime import datetime, timedelta

import msgspec
from boto3.dynamodb.conditions import Attr, Key

from artcafe_common import clock
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_common.storage.table import Table
from artcafe_common.storage.tables import TableSpec
from artcafe_tenancy.outbox import to_timestamp
from artcafe_tenancy.tables import ACTIVITY, DELETIONS, TENANTS, DeletionItem, TenantItem

SERVICES = ("gateway", "identity", "metering", "presence")
LAST_ROUND = 2
# Services that have not confirmed a round after this time are asked again.
RETRY = timedelta(minutes=5)
# Between the rounds: longer than an event can be under way in ordinary operation.
ROUND_PAUSE = timedelta(hours=1)
BATCH_SIZE = 20


class DeletionTable:
    """The deletions of organizations. Every step is conditional on what was read, so one instance makes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tenants = Table(database, TENANTS)
        self._items = Table(
            database,
            TableSpec(name=ACTIVITY.name, item=DeletionItem, partition="id", indexes=ACTIVITY.indexes),
        )

    def build_schedule(self, tenant_id: str, at: datetime) -> Write:
        """The write that schedules a deletion, for the transaction that sets `deletion_at`."""
        item = DeletionItem(id=_key(tenant_id), holder=tenant_id, timestamp=to_timestamp(at))
        return self._items.build_put(item, new=True)

    def build_cancel(self, tenant_id: str) -> Write:
        """The write that cancels a deletion, for the transaction that removes `deletion_at`."""
        return self._items.build_delete(_key(tenant_id), condition=Attr("round").eq(0))

    async def list_due(self) -> list[DeletionItem]:
        """Some deletions whose next step is due."""
        page = await self._items.query(
            DELETIONS,
            index="PendingIndex",
            limit=BATCH_SIZE,
            range_=Key("timestamp").lte(to_timestamp(clock.now())),
        )
        return page.items

    async def claim(self, item: DeletionItem) -> DeletionItem | None:
        """The newest version of a due deletion, whose next step is then due after RETRY; None if another instance has it."""
        try:
            return await self._items.update(
                item.id,
                set_={"timestamp": to_timestamp(clock.now() + RETRY)},
                condition=Attr("timestamp").eq(item.timestamp),
            )
        except ConditionFailed:
            return None

    async def get_tenant(self, tenant_id: str) -> TenantItem | None:
        """An organization in any state (strongly consistent)."""
        return await self._tenants.get(tenant_id, consistent=True)

    async def begin(self, tenant: TenantItem, *, created_by: str) -> bool:
        """Hide an organization whose time has come; False if it was changed meanwhile."""
        changes = {"purging": True, "created_by": created_by or None, "updated_at": clock.now()}
        unchanged = (
            Attr("updated_at").eq(msgspec.to_builtins(tenant.updated_at)) & Attr("deletion_at").exists()
        )
        try:
            await self._tenants.update(tenant.id, set_=changes, condition=unchanged)
        except ConditionFailed:
            return False
        return True

    async def start_round(
        self, item: DeletionItem, number: int, *, at: datetime | None = None
    ) -> DeletionItem:
        """Begin a round, in which no service has confirmed yet; with `at`, its first step is due then."""
        due = item.timestamp if at is None else to_timestamp(at)
        return await self._items.update(
            item.id,
            set_={"round": number, "timestamp": due, **dict.fromkeys(SERVICES, False)},
            condition=Attr("round").eq(item.round),
        )

    async def confirm(self, tenant_id: str, number: int, service: str) -> None:
        """Record that a service deleted its data in a round; the last confirmation makes the next step due. Idempotent."""
        try:
            item = await self._items.update(
                _key(tenant_id), set_={service: True}, condition=Attr("round").eq(number)
            )
            if is_confirmed(item):
                await self._items.update(
                    item.id,
                    set_={"timestamp": to_timestamp(clock.now())},
                    condition=Attr("round").eq(number),
                )
        except ConditionFailed:
            return  # Of an earlier round, or repeated after the deletion.

    async def remove(self, item: DeletionItem) -> None:
        """Remove a deletion that is complete, or whose organization was restored."""
        await self._items.delete(item.id)


def is_confirmed(item: DeletionItem) -> bool:
    """Whether every service has deleted its data in the present round."""
    return all(getattr(item, service) for service in SERVICES)


def _key(tenant_id: str) -> str:
    return f"deletion#{tenant_id}"
