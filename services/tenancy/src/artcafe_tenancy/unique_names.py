"""DynamoDB access to items whose name is unique in their tenant and whose number the plan limits.

Every update is conditional on the version that was read, and stored together with its outbox entry. A
name is reserved by a `NameReservation`, which is written and removed in one transaction with its item.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase

from artcafe_common import clock
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.tenancy.clients import ClientState, ClientStatus
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.storage.dynamo import ConditionFailed, Database, TransactionFailed, Write
from artcafe_common.storage.table import Page, Table
from artcafe_common.storage.tables import TableSpec
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.names import is_ulid, normalize, reservation_key
from artcafe_tenancy.outbox import Outbox, OutboxEntry
from artcafe_tenancy.tables import (
    AGENTS,
    CLIENTS,
    AgentItem,
    ClientItem,
    CredentialItem,
    NameReservation,
    TenantItem,
    UniqueNameItem,
)
from artcafe_tenancy.write_conflicts import MAX_ATTEMPTS, backoff

T = TypeVar("T", bound=UniqueNameItem)
S = TypeVar("S", bound=CredentialItem)
_CONTENTION = "too many concurrent changes of one item"


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
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._items = TenantTable(database, spec)
        self._reservations = Table(
            database, TableSpec(name=spec.name, item=NameReservation, partition=spec.partition)
        )
        self._tenants = tenants
        self._counter = counter
        self._partition = spec.partition

    async def get(self, tenant_id: str, key: str) -> T | None:
        """The tenant's item (strongly consistent); None for a key that is not a well-formed id."""
        return await self._items.get(tenant_id, key, consistent=True) if is_ulid(key) else None

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

    async def check_capacity(self, tenant: TenantItem, name: str, limit: int | None) -> None:
        """Raises PlanLimitReached or NameTaken if `create` would fail, before a key is issued for it."""
        if limit is not None and getattr(tenant, self._counter) >= limit:
            raise PlanLimitReached
        reservation = await self._reservations.get(reservation_key(tenant.id, name), consistent=True)
        if reservation is not None:
            raise NameTaken

    async def create(self, item: T, limit: int | None, entry: OutboxEntry) -> None:
        """Store a new item and publish its entry. Raises PlanLimitReached or NameTaken."""
        below_limit = Attr("id").exists() if limit is None else Attr(self._counter).lt(limit)
        try:
            await self._database.transact_write(
                [
                    self._items.build_put(item.tenant_id, item, new=True),
                    self._reserve_name(item, item.name),
                    self._tenants.build_update(item.tenant_id, add={self._counter: 1}, condition=below_limit),
                    self._outbox.write_for(entry),
                ]
            )
        except TransactionFailed as error:
            if 2 in error.failed:  # noqa: PLR2004 - the counter
                raise PlanLimitReached from None
            if 1 in error.failed:
                raise NameTaken from None
            raise
        await self._outbox.publish(entry)

    async def update(
        self,
        tenant_id: str,
        key: str,
        changes: dict[str, Any] | Callable[[T], dict[str, Any]],
        build_entry: Callable[[T, T], OutboxEntry],
    ) -> T | None:
        """Set attributes and publish the entry built from the item before and after. Raises NameTaken.

        `changes` may be built from the item before, where an update is merged with the stored value.
        """
        for _ in range(MAX_ATTEMPTS):
            item = await self.get(tenant_id, key)
            if item is None:
                return None
            new_values = changes(item) if callable(changes) else changes
            attributes = {**new_values, "updated_at": clock.now(), "version": item.version + 1}
            updated = msgspec.structs.replace(item, **attributes)
            entry = build_entry(item, updated)
            try:
                await self._update(item, attributes, entry)
            except ConditionFailed:
                await backoff()
            else:
                await self._outbox.publish(entry)
                return updated
        raise StoreUnavailable(_CONTENTION)

    async def delete(self, tenant_id: str, key: str, build_entry: Callable[[T], OutboxEntry]) -> T | None:
        """Remove an item and its name reservation, and publish the entry; returns the removed item."""
        for _ in range(MAX_ATTEMPTS):
            item = await self.get(tenant_id, key)
            if item is None:
                return None
            entry = build_entry(item)
            try:
                await self._database.transact_write(
                    [
                        self._items.build_delete(tenant_id, key),
                        # Fails after a concurrent rename, which would leave the new name reserved.
                        self._release_name(item),
                        self._tenants.build_update(
                            tenant_id, add={self._counter: -1}, condition=Attr("id").exists()
                        ),
                        self._outbox.write_for(entry),
                    ]
                )
            except TransactionFailed:
                await backoff()
            else:
                await self._outbox.publish(entry)
                return item
        raise StoreUnavailable(_CONTENTION)

    def transfer_in_writes(self, item: T) -> tuple[Write, Write]:
        """The writes that add an item from another table with the same counter."""
        return self._items.build_put(item.tenant_id, item, new=True), self._reserve_name(item, item.name)

    def transfer_out_writes(self, item: T) -> tuple[Write, Write]:
        """The writes that remove an item without changing the counter; they fail if it changed."""
        unchanged = Attr("version").eq(item.version)
        return (
            self._items.build_delete(item.tenant_id, self._key(item), condition=unchanged),
            self._release_name(item),
        )

    async def _update(self, item: T, attributes: dict[str, Any], entry: OutboxEntry) -> None:
        unchanged = Attr("version").eq(item.version)
        writes = [
            self._items.build_update(item.tenant_id, self._key(item), set_=attributes, condition=unchanged),
            self._outbox.write_for(entry),
        ]
        name = attributes.get("name", item.name)
        if normalize(name) != normalize(item.name):
            writes += [self._reserve_name(item, name), self._release_name(item)]
        try:
            await self._database.transact_write(writes)
        except TransactionFailed as error:
            if error.failed == (2,):
                raise NameTaken from None
            raise ConditionFailed from None

    def _reserve_name(self, item: T, name: str) -> Write:
        return self._reservations.build_update(
            reservation_key(item.tenant_id, name),
            set_={"holder": self._key(item)},
            condition=Attr(self._partition).not_exists(),
        )

    def _release_name(self, item: T) -> Write:
        return self._reservations.build_delete(
            reservation_key(item.tenant_id, item.name), condition=Attr("holder").eq(self._key(item))
        )

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
        super().__init__(database, outbox, AGENTS, tenants, counter="clients_count")


class ClientTable(CredentialTable[ClientItem]):
    """Clients, which can also be found by their public key."""

    def __init__(self, database: Database, outbox: Outbox, tenants: Table[TenantItem]) -> None:
        super().__init__(database, outbox, CLIENTS, tenants, counter="clients_count")

    async def replace_key(self, client: ClientItem, nkey_public: str, entry: OutboxEntry) -> ClientItem:
        """Replace the client's key. Raises ConditionFailed if the key changed or the client is gone."""
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
                    self._outbox.write_for(entry),
                ]
            )
        except TransactionFailed:
            raise ConditionFailed from None
        await self._outbox.publish(entry)
        return msgspec.structs.replace(client, **changes, version=client.version + 1)

    async def find_by_key(self, nkey_public: str) -> ClientItem | None:
        """The client in any tenant that has this public key, for authentication."""
        indexed = await self._items.find_in_any_tenant("NKeyIndex", nkey_public)
        if indexed is None:
            return None
        # The index is eventually consistent and may still contain a replaced key.
        client = await self.find_by_id(indexed.client_id)
        return client if client is not None and client.nkey_public == nkey_public else None


def status_filter(status: ClientStatus) -> ConditionBase:
    """The condition that selects clients or agents with this status."""
    if status is ClientStatus.SUSPENDED:
        return Attr("state").eq(ClientState.SUSPENDED.value)
    online = status is ClientStatus.ONLINE
    return Attr("state").eq(ClientState.ACTIVE.value) & Attr("online").eq(online)
