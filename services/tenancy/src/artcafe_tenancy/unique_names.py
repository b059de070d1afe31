"""DynamoDB access to what bears a unique name in its tenant and counts against its plan.

Every change is conditional on what was read, and is told of by an entry that is stored with it. A name is reserved by a guard item that is written
and removed in one transaction with the item that bears it.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase

from artcafe_common import clock
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.tenancy.clients import ClientState, ClientStatus
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.storage.dynamo import ConditionFailed, Database, Page, Table, TransactionFailed, Write
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.names import guard_key, is_id, normalised
from artcafe_tenancy.outbox import Entry, Outbox
from artcafe_tenancy.tables import (
    AGENTS,
    CLIENTS,
    AgentItem,
    ClientItem,
    CredentialItem,
    NamedItem,
    NameGuard,
    TenantItem,
)

T = TypeVar("T", bound=NamedItem)
S = TypeVar("S", bound=CredentialItem)
ATTEMPTS = 10
PAUSE_S = 0.02


async def pause() -> None:
    """Let the other one finish before what it changed is read again."""
    await asyncio.sleep(random.uniform(0, PAUSE_S))


class NamedTable(Generic[T]):
    """A tenant's items with unique names, as many as its plan allows."""

    def __init__(
        self,
        database: Database,
        journal: Outbox,
        spec: TableSpec[T],
        tenants: Table[TenantItem],
        *,
        counter: str,
    ) -> None:
        self._journal = journal
        self._database = database
        self._items = TenantTable(database, spec)
        self._guards = database.table(TableSpec(name=spec.name, item=NameGuard, partition=spec.partition))
        self._tenants = tenants
        self._counter = counter
        self._partition = spec.partition

    async def get(self, tenant_id: str, key: str) -> T | None:
        """The tenant's item, as it is now; a text that is no id (a guard's key, too) has none."""
        return await self._items.get(tenant_id, key, consistent=True) if is_id(key) else None

    async def list(
        self,
        tenant_id: str,
        *,
        limit: int,
        position: dict[str, Any] | None,
        where: ConditionBase | None = None,
    ) -> Page[T]:
        """A page of the tenant's items, oldest first."""
        return await self._items.list(tenant_id, limit=limit, position=position, where=where)

    async def check_room(self, tenant: TenantItem, name: str, limit: int | None) -> None:
        """PlanLimitReached or NameTaken where `create` would fail anyway, before a key is spent on it."""
        if limit is not None and getattr(tenant, self._counter) >= limit:
            raise PlanLimitReached
        if await self._guards.get(guard_key(tenant.id, name), consistent=True) is not None:
            raise NameTaken

    async def create(self, item: T, limit: int | None, new: Entry) -> None:
        """Store a new item and tell of it; PlanLimitReached or NameTaken."""
        room = Attr("id").exists() if limit is None else Attr(self._counter).lt(limit)
        try:
            await self._database.transact_write(
                [
                    self._items.build_put(item.tenant_id, item, new=True),
                    self._reserving(item, item.name),
                    self._tenants.build_update(item.tenant_id, add={self._counter: 1}, condition=room),
                    self._journal.keeping(new),
                ]
            )
        except TransactionFailed as error:
            if 2 in error.failed:  # noqa: PLR2004 - the counter
                raise PlanLimitReached from None
            if 1 in error.failed:
                raise NameTaken from None
            raise
        await self._journal.tell(new)

    async def change(
        self, tenant_id: str, key: str, changes: dict[str, Any], tells: Callable[[T, T], Entry]
    ) -> T | None:
        """Set attributes, and tell of the item before and after; NameTaken when it is given another's name."""
        for _ in range(ATTEMPTS):
            item = await self.get(tenant_id, key)
            if item is None:
                return None
            now = {**changes, "updated_at": clock.now(), "version": item.version + 1}
            changed = msgspec.structs.replace(item, **now)
            new = tells(item, changed)
            try:
                await self._change(item, now, new)
            except ConditionFailed:
                await pause()
            else:
                await self._journal.tell(new)
                return changed
        raise StoreUnavailable("too many changes of one item at once")

    async def delete(self, tenant_id: str, key: str, tells: Callable[[T], Entry]) -> T | None:
        """Remove an item with its name, and tell of it; the item as it was."""
        for _ in range(ATTEMPTS):
            item = await self.get(tenant_id, key)
            if item is None:
                return None
            new = tells(item)
            try:
                await self._database.transact_write(
                    [
                        self._items.build_delete(tenant_id, key),
                        # Fails when it was renamed meanwhile, and the new name would stay reserved.
                        self._freeing(item),
                        self._tenants.build_update(
                            tenant_id, add={self._counter: -1}, condition=Attr("id").exists()
                        ),
                        self._journal.keeping(new),
                    ]
                )
            except TransactionFailed:
                await pause()
            else:
                await self._journal.tell(new)
                return item
        raise StoreUnavailable("too many changes of one item at once")

    def moving_in(self, item: T) -> tuple[Write, Write]:
        """The writes that bring in an item from another table that has the same counter."""
        return self._items.build_put(item.tenant_id, item, new=True), self._reserving(item, item.name)

    def moving_out(self, item: T) -> tuple[Write, Write]:
        """The writes that take an item out, as it was read, without counting."""
        unchanged = Attr("version").eq(item.version)
        return (
            self._items.build_delete(item.tenant_id, self._key(item), condition=unchanged),
            self._freeing(item),
        )

    async def _change(self, item: T, changes: dict[str, Any], new: Entry) -> None:
        unchanged = Attr("version").eq(item.version)
        writes = [
            self._items.build_update(item.tenant_id, self._key(item), set_=changes, condition=unchanged),
            self._journal.keeping(new),
        ]
        name = changes.get("name", item.name)
        renamed = normalised(name) != normalised(item.name)
        if renamed:
            writes += [self._reserving(item, name), self._freeing(item)]
        try:
            await self._database.transact_write(writes)
        except TransactionFailed as error:
            if error.failed == (2,):
                raise NameTaken from None
            raise ConditionFailed from None

    def _reserving(self, item: T, name: str) -> Write:
        return self._guards.build_update(
            guard_key(item.tenant_id, name),
            set_={"holder": self._key(item)},
            condition=Attr(self._partition).not_exists(),
        )

    def _freeing(self, item: T) -> Write:
        return self._guards.build_delete(
            guard_key(item.tenant_id, item.name), condition=Attr("holder").eq(self._key(item))
        )

    def _key(self, item: T) -> str:
        key: str = getattr(item, self._partition)
        return key


class CredentialTable(NamedTable[S]):
    """Items that besides have a key and a presence."""

    async def by_id(self, key: str) -> S | None:
        """The item of this id, whatever its tenant."""
        return await self._items.get_credential(key, consistent=True) if is_id(key) else None

    async def mirror(self, tenant_id: str, key: str, *, online: bool, seen_us: int, told_us: int) -> bool:
        """Note a presence, unless something newer is noted or the item is not there; whether it was."""
        if not is_id(key):
            return False
        newer = (
            Attr("seen_us").not_exists()
            | Attr("seen_us").lt(seen_us)
            | (Attr("seen_us").eq(seen_us) & Attr("told_us").lt(told_us))
        )
        seen = {"online": online, "seen_us": seen_us, "told_us": told_us}
        try:
            await self._items.update(tenant_id, key, set_=seen, condition=newer)
        except ConditionFailed:
            return False
        return True


class AgentTable(CredentialTable[AgentItem]):
    """Agents of the legacy kind; a plan counts them as clients."""

    def __init__(self, database: Database, journal: Outbox, tenants: Table[TenantItem]) -> None:
        super().__init__(database, journal, AGENTS, tenants, counter="clients_count")


class ClientTable(CredentialTable[ClientItem]):
    """Clients, which are found by their keys, too."""

    def __init__(self, database: Database, journal: Outbox, tenants: Table[TenantItem]) -> None:
        super().__init__(database, journal, CLIENTS, tenants, counter="clients_count")

    async def rekey(self, client: ClientItem, nkey_public: str, new: Entry) -> ClientItem:
        """Replace the key that was read; ConditionFailed when the client has another, or is gone."""
        changes = {"nkey_public": nkey_public, "updated_at": clock.now()}
        try:
            await self._database.transact_write(
                [
                    self._items.build_update(
                        client.tenant_id,
                        client.client_id,
                        set_=changes,
                        add={"version": 1},
                        condition=Attr("nkey_public").eq(client.nkey_public),
                    ),
                    self._journal.keeping(new),
                ]
            )
        except TransactionFailed:
            raise ConditionFailed from None
        await self._journal.tell(new)
        return msgspec.structs.replace(client, **changes, version=client.version + 1)

    async def by_key(self, nkey_public: str) -> ClientItem | None:
        """The client that holds this key now, whatever its tenant."""
        found = await self._items.find_credential("NKeyIndex", nkey_public)
        if found is None:
            return None
        # The index follows the table a moment later: a key that was replaced may still be in it.
        client = await self.by_id(found.client_id)
        return client if client is not None and client.nkey_public == nkey_public else None


def status_filter(status: ClientStatus) -> ConditionBase:
    """The clients or agents that are seen as `status`."""
    if status is ClientStatus.SUSPENDED:
        return Attr("state").eq(ClientState.SUSPENDED.value)
    online = status is ClientStatus.ONLINE
    return Attr("state").eq(ClientState.ACTIVE.value) & Attr("online").eq(online)
