"""DynamoDB access to items whose name is unique in their tenant and whose number the plan limits.

Every update is conditional on the version that was read, and stored together with its outbox entry. A
name is reserved by a `NameReservation`, which is written and removed in one transaction with its item.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase

from artcafe_common import clock
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.clients import ClientState, ClientStatus
from artcafe_common.contracts.tenancy.conditional import VersionCheck
from artcafe_common.contracts.tenancy.fields import MAX_NAME_LENGTH, NameTaken, PlanLimitReached
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_common.storage.table import Page, Table
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.names import check_change, is_ulid, normalize, reservation_keys
from artcafe_tenancy.outbox import Outbox, OutboxEntry
from artcafe_tenancy.tables import (
    AGENTS,
    AgentItem,
    CredentialItem,
    NameReservation,
    TenantItem,
    UniqueNameItem,
)
from artcafe_tenancy.write_conflicts import WriteConflict, repeat_on_conflict

T = TypeVar("T", bound=UniqueNameItem)
S = TypeVar("S", bound=CredentialItem)
# DynamoDB queries per page of a search, of a hundred items or more each.
MAX_SEARCH_READS = 20


class UniqueNameTable(Generic[T]):
    """A tenant's items with unique names, limited in number by its plan."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        spec: TableSpec[T],
        tenants: Table[TenantItem],
        *,
        counter: str,
        counted: str,
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._items = TenantTable(database, spec)
        self._reservations = Table(
            database, TableSpec(name=spec.name, item=NameReservation, partition=spec.partition)
        )
        self._tenants = tenants
        self._counter = counter
        self._counted = counted
        self._partition = spec.partition

    async def get(self, tenant_id: str, key: str) -> T | None:
        """The tenant's item (strongly consistent); None for a key that is not a well-formed id."""
        return await self._items.get(tenant_id, key, consistent=True) if is_ulid(key) else None

    async def find(self, tenant_id: str, text: str) -> T | None:
        """The tenant's item with this id, or else with this name (strongly consistent)."""
        item = await self.get(tenant_id, text)
        if item is not None or not text or len(text) > MAX_NAME_LENGTH:
            return item
        holder = await self._find_holder(tenant_id, text)
        return None if holder is None else await self.get(tenant_id, holder)

    async def list(
        self,
        tenant_id: str,
        *,
        limit: int,
        position: dict[str, Any] | None,
        where: ConditionBase | None = None,
        name: str | None = None,
    ) -> Page[T]:
        """A page of the tenant's items, oldest first; of a search by `name`, it may be short without being the last."""
        if name is None:
            return await self._items.list(tenant_id, limit=limit, position=position, where=where)
        found = _name_filter(name)
        return await self._items.list(
            tenant_id,
            limit=limit,
            position=position,
            where=found if where is None else where & found,
            max_reads=MAX_SEARCH_READS,
        )

    async def check_capacity(self, tenant: TenantItem, name: str, limit: int | None) -> None:
        """Raises PlanLimitReached or NameTaken if `create` would fail, before a key is issued for it."""
        if limit is not None and getattr(tenant, self._counter) >= limit:
            raise self._limit_reached(limit)
        if await self._find_holder(tenant.id, name) is not None:
            raise NameTaken

    async def create(self, item: T, limit: int | None, entry: OutboxEntry) -> None:
        """Store a new item and publish its entry. Raises PlanLimitReached or NameTaken."""
        reserve, *others = self._reserve_name(item, item.name)
        below_limit = Attr("id").exists() if limit is None else Attr(self._counter).lt(limit)
        try:
            async with self._exclusive_counter(item.tenant_id):
                await self._database.transact_write(
                    [
                        self._items.build_put(item.tenant_id, _searchable(item), new=True),
                        reserve,
                        self._tenants.build_update(
                            item.tenant_id, add={self._counter: 1}, condition=below_limit
                        ),
                        self._outbox.write_for(entry),
                        *others,
                        *self._lookups_to_add(item),
                    ]
                )
        except TransactionFailed as error:
            if 2 in error.failed:  # noqa: PLR2004 - the counter
                raise self._limit_reached(limit) from None
            if error.failed and error.failed[-1] in (1, *range(4, 4 + len(others))):
                raise NameTaken from None
            raise
        await self._outbox.publish(entry)

    async def update(
        self,
        tenant_id: str,
        key: str,
        changes: dict[str, Any] | Callable[[T], dict[str, Any]],
        build_entry: Callable[[T, T], OutboxEntry],
        check_version: VersionCheck,
    ) -> T | None:
        """Set attributes and publish the entry built from the item before and after. Raises NameTaken.

        `changes` may be built from the item before, where an update is merged with the stored value. The write is
        conditional on the version that `check_version` accepted.
        """

        async def change() -> T | None:
            item = await self.get(tenant_id, key)
            if item is None:
                return None
            check_version(item.updated_at)
            new_values = changes(item) if callable(changes) else changes
            attributes = {**new_values, "updated_at": clock.now(), "version": item.version + 1}
            updated = msgspec.structs.replace(item, **attributes)
            check_change(item.name, updated.name)
            entry = build_entry(item, updated)
            await self._update(item, attributes, entry)
            await self._outbox.publish(entry)
            return updated

        # Concurrent changes of one item would conflict until their deadline.
        async with self._database.exclusive(f"{tenant_id} {key}"):
            return await repeat_on_conflict(change)

    async def delete(
        self,
        tenant_id: str,
        key: str,
        build_entry: Callable[[T], OutboxEntry],
        check_version: VersionCheck,
    ) -> T | None:
        """Remove an item and its name reservation, and publish the entry; returns the removed item."""

        async def change() -> T | None:
            item = await self.get(tenant_id, key)
            if item is None:
                return None
            check_version(item.updated_at)
            entry = build_entry(item)
            try:
                async with self._exclusive_counter(tenant_id):
                    await self._database.transact_write(
                        [
                            # Deletes the version that was checked.
                            self._items.build_delete(
                                tenant_id, key, condition=Attr("version").eq(item.version)
                            ),
                            # Fails after a concurrent rename, which would leave the new name reserved.
                            *self._release_name(item),
                            self._tenants.build_update(
                                tenant_id, add={self._counter: -1}, condition=Attr("id").exists()
                            ),
                            self._outbox.write_for(entry),
                            *self._lookups_to_remove(item),
                        ]
                    )
            except TransactionFailed:
                raise WriteConflict from None
            await self._outbox.publish(entry)
            return item

        return await repeat_on_conflict(change)

    async def delete_all(
        self, tenant_id: str, before: Callable[[Sequence[T]], Awaitable[None]] | None = None
    ) -> None:
        """Remove all items of a tenant, with their names and lookups; `before` gets the items of each page. Idempotent."""

        async def release(items: Sequence[T]) -> None:
            if before is not None:
                await before(items)
            keys = {key for item in items for key in reservation_keys(tenant_id, item.name)}
            await self._database.batch_write([self._reservations.build_delete(key) for key in keys])
            await run_together(*map(self._delete_lookups, items))

        await self._items.delete_all(tenant_id, before=release)

    async def _delete_lookups(self, item: T) -> None:
        for write in self._lookups_to_remove(item):
            await self._database.write(write)

    def transfer_in_writes(self, item: T) -> tuple[Write, ...]:
        """The writes that add an item from another table with the same counter: item, lookups, names."""
        return (
            self._items.build_put(item.tenant_id, _searchable(item), new=True),
            *self._lookups_to_add(item),
            *self._reserve_name(item, item.name),
        )

    def transfer_out_writes(self, item: T) -> tuple[Write, ...]:
        """The writes that remove an item without changing the counter; they fail if it changed."""
        unchanged = Attr("version").eq(item.version)
        return (
            self._items.build_delete(item.tenant_id, self._key(item), condition=unchanged),
            *self._release_name(item),
        )

    async def _update(self, item: T, attributes: dict[str, Any], entry: OutboxEntry) -> None:
        unchanged = Attr("version").eq(item.version)
        name = attributes.get("name", item.name)
        attributes = {**attributes, "search_name": normalize(name)}
        writes = [
            self._items.build_update(item.tenant_id, self._key(item), set_=attributes, condition=unchanged),
            self._outbox.write_for(entry),
        ]
        before, after = (reservation_keys(item.tenant_id, each) for each in (item.name, name))
        reserved = self._reserve_name(item, name) if after != before else []
        first = len(writes)
        writes += [*reserved, *(self._release(item, key) for key in before if key not in after)]
        try:
            await self._database.transact_write(writes)
        except TransactionFailed as error:
            if error.failed and all(first <= each < first + len(reserved) for each in error.failed):
                raise NameTaken from None
            raise WriteConflict from None

    def _exclusive_counter(self, tenant_id: str) -> AbstractAsyncContextManager[None]:
        return self._database.exclusive(f"{self._counter} {tenant_id}")

    def _lookups_to_add(self, item: T) -> tuple[Write, ...]:  # noqa: ARG002 - for subclasses
        """The writes that let a new item be found by something else than its id and name."""
        return ()

    def _lookups_to_remove(self, item: T) -> tuple[Write, ...]:  # noqa: ARG002 - for subclasses
        return ()

    def _limit_reached(self, limit: int | None) -> PlanLimitReached:
        return PlanLimitReached(f"the organization's plan allows at most {limit} {self._counted}")

    async def _find_holder(self, tenant_id: str, name: str) -> str | None:
        """The key of the item that has a name."""
        for key in reservation_keys(tenant_id, name):
            reservation = await self._reservations.get(key, consistent=True)
            if reservation is not None:
                return reservation.holder
        return None

    def _reserve_name(self, item: T, name: str) -> Sequence[Write]:
        free = Attr(self._partition).not_exists() | Attr("holder").eq(self._key(item))
        return [
            self._reservations.build_update(key, set_={"holder": self._key(item)}, condition=free)
            for key in reservation_keys(item.tenant_id, name)
        ]

    def _release_name(self, item: T) -> Sequence[Write]:
        return [self._release(item, key) for key in reservation_keys(item.tenant_id, item.name)]

    def _release(self, item: T, key: str) -> Write:
        # Releases before this one reserved one form of a name only.
        own = Attr("holder").eq(self._key(item)) | Attr(self._partition).not_exists()
        return self._reservations.build_delete(key, condition=own)

    def _key(self, item: T) -> str:
        key: str = getattr(item, self._partition)
        return key


class CredentialTable(UniqueNameTable[S]):
    """Items that can connect: they also have a key and a presence."""

    async def find_by_id(self, key: str) -> S | None:
        """The item with this id in any tenant (strongly consistent), for authentication."""
        return await self._items.get_from_any_tenant(key, consistent=True) if is_ulid(key) else None

    async def update_presence(
        self, tenant_id: str, key: str, *, online: bool, seen_us: int, told_us: int
    ) -> bool:
        """Store a presence; False if a newer one is stored or the item does not exist."""
        if not is_ulid(key):
            return False
        newer = (
            Attr("seen_us").not_exists()
            | Attr("seen_us").lt(seen_us)
            | (Attr("seen_us").eq(seen_us) & Attr("told_us").lt(told_us))
        )
        presence = {"online": online, "seen_us": seen_us, "told_us": told_us}
        try:
            await self._items.update(tenant_id, key, set_=presence, condition=newer)
        except ConditionFailed:
            return False
        return True


class AgentTable(CredentialTable[AgentItem]):
    """Legacy agents; plans count them as clients."""

    def __init__(self, database: Database, outbox: Outbox, tenants: Table[TenantItem]) -> None:
        super().__init__(
            database, outbox, AGENTS, tenants, counter="clients_count", counted="clients and agents"
        )


def _searchable(item: T) -> T:
    return msgspec.structs.replace(item, search_name=normalize(item.name))


def _name_filter(part: str) -> ConditionBase:
    """The condition that selects items whose name contains a text."""
    # An item of an earlier release is found by exact case, until it is updated.
    older = Attr("search_name").not_exists() & Attr("name").contains(part)
    return Attr("search_name").contains(normalize(part)) | older


def status_filter(status: ClientStatus) -> ConditionBase:
    """The condition that selects clients or agents with this status."""
    if status is ClientStatus.SUSPENDED:
        return Attr("state").eq(ClientState.SUSPENDED.value)
    online = status is ClientStatus.ONLINE
    return Attr("state").eq(ClientState.ACTIVE.value) & Attr("online").eq(online)
