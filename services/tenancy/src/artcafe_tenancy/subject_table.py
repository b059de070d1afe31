"""DynamoDB access to subject records, with the ledger of what each reserves.

A change, the ledger and the event that brings the stream into step are one transaction.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr

from artcafe_common import clock
from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.tenancy.subjects import SubjectStatus
from artcafe_common.storage.dynamo import ConditionFailed, Database, Page, TransactionFailed, Write
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.names import is_id, normalised
from artcafe_tenancy.outbox import Entry, Outbox
from artcafe_tenancy.subject_patterns import check_fits
from artcafe_tenancy.tables import SUBJECTS, Reservation, SubjectItem, SubjectLedger

# All changes of an organization's subjects meet in its ledger.
ATTEMPTS = 25
PAUSE_S = 0.02
_PLENTY = "too many changes of one organization's subjects at once"


class SubjectTable:
    """A tenant's subjects; what is `deleting` is found by `any` alone."""

    def __init__(self, database: Database, journal: Outbox) -> None:
        self._database = database
        self._journal = journal
        self._items = TenantTable(database, SUBJECTS)
        self._ledgers = database.table(
            TableSpec(name=SUBJECTS.name, item=SubjectLedger, partition=SUBJECTS.partition)
        )

    async def get(self, tenant_id: str, subject_id: str) -> SubjectItem | None:
        """A subject as it is now; a text that is no id has none."""
        item = await self.any(tenant_id, subject_id) if is_id(subject_id) else None
        return None if item is None or item.deleting else item

    async def any(self, tenant_id: str, key: str) -> SubjectItem | None:
        """A record as it is now, whatever it is."""
        return await self._items.get(tenant_id, key, consistent=True)

    async def list(self, tenant_id: str, *, limit: int, position: dict[str, Any] | None) -> Page[SubjectItem]:
        """A page of subjects, oldest first."""
        shown = Attr("deleting").eq(False) & Attr("stream").ne(HISTORY_STREAM)  # noqa: FBT003 - a value
        return await self._items.list(tenant_id, limit=limit, position=position, where=shown)

    async def create(self, item: SubjectItem, storage: int | None, new: Entry) -> None:
        """Store a new record and tell of it; NameTaken, SubjectOverlap or PlanLimitReached."""
        for attempt in range(ATTEMPTS):
            try:
                await self._database.transact_write(
                    [
                        self._items.build_put(item.tenant_id, item, new=True),
                        await self._reserving(item, storage),
                        self._journal.keeping(new),
                    ]
                )
            except TransactionFailed as error:
                if 0 in error.failed:
                    raise ConditionFailed from None
                await _pause(attempt)
            else:
                await self._journal.tell(new)
                return
        raise StoreUnavailable(_PLENTY)

    async def change(
        self,
        tenant_id: str,
        subject_id: str,
        changes: dict[str, Any],
        storage: int | None,
        tells: Callable[[SubjectItem], Entry],
    ) -> tuple[SubjectItem, SubjectItem] | None:
        """Set attributes and tell of it; the record before and after, which then is pending.

        NameTaken, SubjectOverlap or PlanLimitReached.
        """
        for attempt in range(ATTEMPTS):
            item = await self.get(tenant_id, subject_id)
            if item is None:
                return None
            changed = msgspec.structs.replace(item, **changes, **_renewed(item))
            if await self._replace(item, changed, [await self._reserving(changed, storage)], tells(changed)):
                return item, changed
            await _pause(attempt)
        raise StoreUnavailable(_PLENTY)

    async def put_back(self, before: SubjectItem, after: SubjectItem, new: Entry) -> bool:
        """Undo a change, if nothing else came since."""
        back = msgspec.structs.replace(before, **_renewed(after))
        return await self._replace(after, back, [await self._reserving(back, None)], new)

    async def begin_delete(
        self, tenant_id: str, subject_id: str, tells: Callable[[SubjectItem], Entry]
    ) -> SubjectItem | None:
        """Hide a subject, and tell that its stream is to go; the subject as it was."""
        for attempt in range(ATTEMPTS):
            item = await self.get(tenant_id, subject_id)
            if item is None:
                return None
            gone = msgspec.structs.replace(item, deleting=True, **_renewed(item))
            if await self._replace(item, gone, [], tells(item)):
                return item
            await _pause(attempt)
        raise StoreUnavailable(_PLENTY)

    async def finish_delete(self, item: SubjectItem) -> None:
        """Remove a record whose stream is gone, and give back what it reserved."""
        for attempt in range(ATTEMPTS):
            try:
                await self._database.transact_write(
                    [
                        self._items.build_delete(item.tenant_id, item.subject_id),
                        await self._releasing(item),
                    ]
                )
            except TransactionFailed as error:
                if 0 in error.failed:
                    return  # another one did
                await _pause(attempt)
            else:
                return
        raise StoreUnavailable(_PLENTY)

    async def mark(self, item: SubjectItem, status: SubjectStatus, refusal: str | None) -> bool:
        """Note how the stream of this version is; False when there is another version by now."""
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

    async def _replace(
        self, before: SubjectItem, after: SubjectItem, writes: Sequence[Write], new: Entry
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
            await self._database.transact_write([update, *writes, self._journal.keeping(new)])
        except TransactionFailed:
            return False
        await self._journal.tell(new)
        return True

    async def _reserving(self, item: SubjectItem, storage: int | None) -> Write:
        ledger = await self._ledger(item.tenant_id)
        wanted = Reservation(name=normalised(item.name), raw=item.raw, max_bytes=item.retention.max_bytes)
        check_fits(ledger.entries, item.subject_id, wanted, storage)
        return self._writing(item.tenant_id, ledger, {**ledger.entries, item.subject_id: wanted})

    async def _releasing(self, item: SubjectItem) -> Write:
        ledger = await self._ledger(item.tenant_id)
        entries = {key: each for key, each in ledger.entries.items() if key != item.subject_id}
        return self._writing(item.tenant_id, ledger, entries)

    async def _ledger(self, tenant_id: str) -> SubjectLedger:
        return await self._ledgers.get(_ledger_key(tenant_id), consistent=True) or SubjectLedger()

    def _writing(self, tenant_id: str, read: SubjectLedger, entries: dict[str, Reservation]) -> Write:
        unchanged = Attr("version").eq(read.version) if read.version else Attr("version").not_exists()
        return self._ledgers.build_update(
            _ledger_key(tenant_id), set_={"entries": entries}, add={"version": 1}, condition=unchanged
        )


def _renewed(item: SubjectItem) -> dict[str, Any]:
    return {
        "version": item.version + 1,
        "status": SubjectStatus.PENDING,
        "refusal": None,
        "updated_at": clock.now(),
    }


def _ledger_key(tenant_id: str) -> str:
    return f"ledger#{tenant_id}"


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, PAUSE_S * (attempt + 1)))
