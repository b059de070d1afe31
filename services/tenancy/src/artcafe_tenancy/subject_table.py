"""DynamoDB access to subject records and to the ledger of what they reserve.

A change of a record, its ledger and its outbox entry are one transaction. The entry's event makes the
stream reconciler bring the stream into the state of the record. The states of a record:

    create ──▶ PENDING ── stream created or updated ──▶ ACTIVE
                ▲  │                                      │
                │  └───── broker refuses the stream ──▶ REFUSED
                │                                         │
                └────────── update, revert ───────────────┘

    any ── mark_deleting ──▶ deleting ── stream deleted, remove ──▶ (no record)

`deleting` is a flag beside the status. A record in this state is hidden from the API and keeps its
reservation until its stream is deleted. Each transition except `set_status` increments the version, and
`set_status` applies to one version only: a late result for an older version has no effect.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from boto3.dynamodb.conditions import Attr

from artcafe_common import clock
from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.contracts.tenancy.conditional import VersionCheck
from artcafe_common.contracts.tenancy.subjects import SubjectStatus
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_common.storage.table import Page, Table
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.names import check_change, is_ulid, normalize
from artcafe_tenancy.outbox import Outbox, OutboxEntry
from artcafe_tenancy.subject_patterns import check_reservation
from artcafe_tenancy.tables import SUBJECTS, SubjectItem, SubjectLedger, SubjectReservation
from artcafe_tenancy.write_conflicts import WriteConflict, repeat_on_conflict

T = TypeVar("T")


class SubjectTable:
    """A tenant's subject records; only `get_record` returns records that are being deleted."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._items = TenantTable(database, SUBJECTS)
        self._ledgers = Table(
            database, TableSpec(name=SUBJECTS.name, item=SubjectLedger, partition=SUBJECTS.partition)
        )

    async def get(self, tenant_id: str, subject_id: str) -> SubjectItem | None:
        """A subject (strongly consistent); None for a text that is not a well-formed id."""
        item = await self.get_record(tenant_id, subject_id) if is_ulid(subject_id) else None
        return None if item is None or item.deleting else item

    async def get_record(self, tenant_id: str, key: str) -> SubjectItem | None:
        """A record in any state (strongly consistent), including the channels' history."""
        return await self._items.get(tenant_id, key, consistent=True)

    async def list(self, tenant_id: str, *, limit: int, position: dict[str, Any] | None) -> Page[SubjectItem]:
        """A page of subjects, oldest first."""
        visible = Attr("deleting").eq(False) & Attr("stream").ne(HISTORY_STREAM)  # noqa: FBT003 - a value
        return await self._items.list(tenant_id, limit=limit, position=position, where=visible)

    async def reserved_bytes(self, tenant_id: str) -> int:
        """The bytes that a tenant's streams reserve (strongly consistent)."""
        return sum(each.max_bytes for each in (await self._get_ledger(tenant_id)).entries.values())

    async def create(self, item: SubjectItem, storage: int | None, entry: OutboxEntry) -> None:
        """Store a new record and publish its entry.

        Raises NameTaken, SubjectOverlap, PlanLimitReached, or ConditionFailed if the record exists.
        """

        async def change() -> None:
            try:
                await self._database.transact_write(
                    [
                        self._items.build_put(item.tenant_id, item, new=True),
                        await self._reserve(item, storage),
                        self._outbox.write_for(entry),
                    ]
                )
            except TransactionFailed as error:
                if 0 in error.failed:
                    raise ConditionFailed from None
                raise WriteConflict from None

        await self._repeat_alone(item.tenant_id, change)
        await self._outbox.publish(entry)

    async def update(
        self,
        tenant_id: str,
        subject_id: str,
        changes: dict[str, Any],
        storage: int | None,
        build_entry: Callable[[SubjectItem], OutboxEntry],
        check_version: VersionCheck,
    ) -> tuple[SubjectItem, SubjectItem] | None:
        """Set attributes and publish the entry; returns the record before and after.

        Raises NameTaken, SubjectOverlap or PlanLimitReached.
        """

        async def change() -> tuple[SubjectItem, SubjectItem] | None:
            item = await self.get(tenant_id, subject_id)
            if item is None:
                return None
            check_version(item.updated_at)
            updated = msgspec.structs.replace(item, **changes, **_next_version(item))
            check_change(item.name, updated.name)
            reserve = await self._reserve(updated, storage)
            if not await self._replace(item, updated, [reserve], build_entry(updated)):
                raise WriteConflict
            return item, updated

        return await self._repeat_alone(tenant_id, change)

    async def revert(self, before: SubjectItem, after: SubjectItem, entry: OutboxEntry) -> bool:
        """Undo an update; False if the record has changed since."""
        reverted = msgspec.structs.replace(before, **_next_version(after))
        return await self._replace(after, reverted, [await self._reserve(reverted, None)], entry)

    async def mark_deleting(
        self,
        tenant_id: str,
        subject_id: str,
        build_entry: Callable[[SubjectItem], OutboxEntry],
        check_version: VersionCheck | None = None,
    ) -> SubjectItem | None:
        """Start to delete a subject and publish the entry; returns the subject as it was."""

        async def change() -> SubjectItem | None:
            item = await self.get(tenant_id, subject_id)
            if item is None:
                return None
            if check_version is not None:
                check_version(item.updated_at)
            deleting = msgspec.structs.replace(item, deleting=True, **_next_version(item))
            if not await self._replace(item, deleting, [], build_entry(item)):
                raise WriteConflict
            return item

        return await repeat_on_conflict(change)

    async def remove(self, item: SubjectItem) -> None:
        """Remove a record whose stream is deleted, and release its reservation. Idempotent."""

        async def change() -> None:
            try:
                await self._database.transact_write(
                    [
                        self._items.build_delete(item.tenant_id, item.subject_id),
                        await self._release(item),
                    ]
                )
            except TransactionFailed as error:
                if 0 not in error.failed:  # otherwise, another instance removed it
                    raise WriteConflict from None

        await self._repeat_alone(item.tenant_id, change)

    async def delete_all(self, tenant_id: str) -> None:
        """Remove all records of a tenant and what they reserve, whose streams are deleted elsewhere. Idempotent."""
        await self._items.delete_all(tenant_id)
        await self._ledgers.delete(_ledger_key(tenant_id))

    async def set_status(self, item: SubjectItem, status: SubjectStatus, refusal: str | None) -> bool:
        """Store the status of this version's stream; False if the record has a newer version."""
        try:
            await self._items.update(
                item.tenant_id,
                item.subject_id,
                set_={"status": status, "refusal": refusal},
                condition=Attr("version").eq(item.version),
            )
        except ConditionFailed:
            return False
        return True

    async def _repeat_alone(self, tenant_id: str, change: Callable[[], Awaitable[T]]) -> T:
        # All changes of a tenant's subjects update the same ledger.
        async with self._database.exclusive(_ledger_key(tenant_id)):
            return await repeat_on_conflict(change)

    async def _replace(
        self, before: SubjectItem, after: SubjectItem, writes: Sequence[Write], entry: OutboxEntry
    ) -> bool:
        values = {
            field: value
            for field, value in msgspec.structs.asdict(after).items()
            if field not in ("subject_id", "tenant_id")
        }
        update = self._items.build_update(
            after.tenant_id, after.subject_id, set_=values, condition=Attr("version").eq(before.version)
        )
        try:
            await self._database.transact_write([update, *writes, self._outbox.write_for(entry)])
        except TransactionFailed:
            return False
        await self._outbox.publish(entry)
        return True

    async def _reserve(self, item: SubjectItem, storage: int | None) -> Write:
        ledger = await self._get_ledger(item.tenant_id)
        wanted = SubjectReservation(
            name=normalize(item.name), raw=item.raw, max_bytes=item.retention.max_bytes
        )
        check_reservation(ledger.entries, item.subject_id, wanted, storage)
        return self._update_ledger(item.tenant_id, ledger, {**ledger.entries, item.subject_id: wanted})

    async def _release(self, item: SubjectItem) -> Write:
        ledger = await self._get_ledger(item.tenant_id)
        entries = {key: each for key, each in ledger.entries.items() if key != item.subject_id}
        return self._update_ledger(item.tenant_id, ledger, entries)

    async def _get_ledger(self, tenant_id: str) -> SubjectLedger:
        return await self._ledgers.get(_ledger_key(tenant_id), consistent=True) or SubjectLedger()

    def _update_ledger(
        self, tenant_id: str, ledger: SubjectLedger, entries: dict[str, SubjectReservation]
    ) -> Write:
        unchanged = Attr("version").eq(ledger.version) if ledger.version else Attr("version").not_exists()
        return self._ledgers.build_update(
            _ledger_key(tenant_id), set_={"entries": entries}, add={"version": 1}, condition=unchanged
        )


def _next_version(item: SubjectItem) -> dict[str, Any]:
    return {
        "version": item.version + 1,
        "status": SubjectStatus.PENDING,
        "refusal": None,
        "updated_at": clock.now(),
    }


def _ledger_key(tenant_id: str) -> str:
    return f"ledger#{tenant_id}"
