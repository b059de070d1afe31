"""Access to items of tenants: every read and write is restricted to one tenant here."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase

from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.table import MAX_PAGE_BYTES, Page, Table
from artcafe_common.storage.tables import TableSpec

T = TypeVar("T", bound=msgspec.Struct)
DELETED_PAGE = 100


class TenantTable(Generic[T]):
    """Access to items of one tenant at a time; items of other tenants do not exist for it."""

    def __init__(self, database: Database, spec: TableSpec[T]) -> None:
        self._table = Table(database, spec)
        self.spec = spec

    async def get(self, tenant_id: str, key: str, *, consistent: bool = False) -> T | None:
        """The tenant's item with this key; None if there is none."""
        item = await self._table.get(key, consistent=consistent)
        return item if item is not None and getattr(item, "tenant_id", None) == tenant_id else None

    async def list(
        self,
        tenant_id: str,
        *,
        limit: int = 50,
        position: dict[str, Any] | None = None,
        where: ConditionBase | None = None,
        range_: ConditionBase | None = None,
        newest_first: bool = False,
        max_reads: int | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> Page[T]:
        """Up to `limit` of the tenant's items, from the TenantIndex, which follows a change within a second or so."""
        return await self._table.query(
            tenant_id,
            index="TenantIndex",
            limit=limit,
            position=position,
            where=where,
            range_=range_,
            newest_first=newest_first,
            max_reads=max_reads,
            max_bytes=max_bytes,
        )

    async def find_in_any_tenant(self, index: str, value: str) -> T | None:
        """The item with this value in an index, of any tenant. For authentication only."""
        page = await self._table.query(value, index=index, limit=1)
        return page.items[0] if page.items else None

    async def get_from_any_tenant(self, key: str, *, consistent: bool = False) -> T | None:
        """The item with this key, of any tenant. For authentication only."""
        return await self._table.get(key, consistent=consistent)

    def build_put(self, tenant_id: str, item: T, *, new: bool = False) -> Write:
        """A write that stores the tenant's item, on condition that the key is free or (not `new`) its own."""
        if getattr(item, "tenant_id", None) != tenant_id:
            raise ValueError("the item belongs to another tenant")
        free = Attr(self.spec.partition).not_exists()
        return self._table.build_put(item, condition=free if new else free | _owned(tenant_id))

    def build_delete(self, tenant_id: str, key: str, *, condition: ConditionBase | None = None) -> Write:
        """A write that removes the tenant's item, on condition that it exists."""
        owned = _owned(tenant_id)
        return self._table.build_delete(key, condition=owned if condition is None else owned & condition)

    def build_update(
        self,
        tenant_id: str,
        key: str,
        *,
        set_: dict[str, Any] | None = None,
        add: dict[str, int] | None = None,
        condition: ConditionBase | None = None,
    ) -> Write:
        """A write that updates the tenant's item, on condition that it exists."""
        owned = _owned(tenant_id)
        return self._table.build_update(
            key, set_=set_, add=add, condition=owned if condition is None else owned & condition
        )

    def build_check(self, tenant_id: str, key: str, *, condition: ConditionBase) -> Write:
        """A part of a transaction that changes nothing, on condition that the tenant's item exists and fulfils it."""
        return self._table.build_check(key, condition=_owned(tenant_id) & condition)

    async def put(self, tenant_id: str, item: T, *, new: bool = False) -> None:
        """Store the tenant's item. Raises ConditionFailed."""
        await self._table.database.write(self.build_put(tenant_id, item, new=new))

    async def put_all(self, items: Iterable[tuple[str, T]]) -> None:
        """Store items of tenants without a condition: only those whose keys can be no other item's. Idempotent."""
        writes = []
        for tenant_id, item in items:
            if getattr(item, "tenant_id", None) != tenant_id:
                raise ValueError("the item belongs to another tenant")
            writes.append(self._table.build_put(item))
        await self._table.database.batch_write(writes)

    async def delete(self, tenant_id: str, key: str) -> None:
        """Remove the tenant's item. Raises ConditionFailed if it does not exist."""
        await self._table.database.write(self.build_delete(tenant_id, key))

    async def delete_all(
        self, tenant_id: str, *, before: Callable[[Sequence[T]], Awaitable[None]] | None = None
    ) -> None:
        """Remove all items of the tenant, page by page; `before` is called with the items of each page. Idempotent."""
        position = None
        while True:
            page = await self.list(tenant_id, limit=DELETED_PAGE, position=position)
            if before is not None:
                await before(page.items)
            keys = [getattr(item, self.spec.partition) for item in page.items]
            await self._table.database.batch_write([self._table.build_delete(key) for key in keys])
            position = page.position
            if position is None:
                return

    async def update(
        self,
        tenant_id: str,
        key: str,
        *,
        set_: dict[str, Any] | None = None,
        add: dict[str, int] | None = None,
        condition: ConditionBase | None = None,
    ) -> T:
        """Update the tenant's item, and return the updated item. Raises ConditionFailed if it does not exist."""
        owned = _owned(tenant_id)
        return await self._table.update(
            key, set_=set_, add=add, condition=owned if condition is None else owned & condition
        )


def _owned(tenant_id: str) -> ConditionBase:
    return Attr("tenant_id").eq(tenant_id)
