"""Typed access to one DynamoDB table."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.items import (
    count_fitting,
    dump,
    dump_position,
    dump_value,
    load,
    render,
    serialize,
    to_position,
)
from artcafe_common.storage.tables import TableSpec

T = TypeVar("T", bound=msgspec.Struct)
# The least number of items that a filtered query reads per call, since a filter may drop most of them.
MIN_FILTERED_READ = 100
# A page is one message between services, with what is added to its items.
MAX_PAGE_BYTES = 512 * 1024


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items of a list and the position after them; None at the end of the list."""

    items: list[T]
    position: dict[str, Any] | None


class Table(Generic[T]):
    """Access to one table by its primary key and indexes."""

    def __init__(self, database: Database, spec: TableSpec[T]) -> None:
        self.database = database
        self.spec = spec
        self._name = database.prefix + spec.name

    async def get(self, *key: str, consistent: bool = False) -> T | None:
        """The item with this key; None if there is none."""
        response = await self.database.call(
            "get_item", TableName=self._name, Key=self._key(key), ConsistentRead=consistent
        )
        return self._load(response["Item"]) if "Item" in response else None

    def build_put(self, item: T, *, condition: ConditionBase | None = None, new: bool = False) -> Write:
        """A write that stores `item`; with `new`, on condition that no item has its key."""
        if new:
            condition = Attr(self.spec.partition).not_exists()
        return self._write("Put", {"Item": dump(item)}, condition)

    def build_delete(self, *key: str, condition: ConditionBase | None = None) -> Write:
        """A write that removes the item with this key."""
        return self._write("Delete", {"Key": self._key(key)}, condition)

    def build_check(self, *key: str, condition: ConditionBase) -> Write:
        """A part of a transaction that changes nothing; it fails unless the condition holds."""
        return self._write("ConditionCheck", {"Key": self._key(key)}, condition)

    def build_update(
        self,
        *key: str,
        set_: dict[str, Any] | None = None,
        add: dict[str, int] | None = None,
        condition: ConditionBase | None = None,
    ) -> Write:
        """A write that sets attributes of an item and adds to its counters; a value of None removes the attribute."""
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        parts: dict[str, list[str]] = {"SET": [], "REMOVE": [], "ADD": []}
        for number, (name, value) in enumerate((set_ or {}).items()):
            names[f"#s{number}"] = name
            dumped = dump_value(msgspec.to_builtins(value))
            if dumped is None:
                parts["REMOVE"].append(f"#s{number}")
            else:
                values[f":s{number}"] = serialize(dumped)
                parts["SET"].append(f"#s{number} = :s{number}")
        for number, (name, amount) in enumerate((add or {}).items()):
            names[f"#a{number}"] = name
            values[f":a{number}"] = serialize(amount)
            parts["ADD"].append(f"#a{number} :a{number}")
        arguments: dict[str, Any] = {
            "Key": self._key(key),
            "UpdateExpression": " ".join(f"{verb} {', '.join(some)}" for verb, some in parts.items() if some),
            "ExpressionAttributeNames": names,
        }
        if values:
            arguments["ExpressionAttributeValues"] = values
        return self._write("Update", arguments, condition)

    async def put(self, item: T, *, condition: ConditionBase | None = None, new: bool = False) -> None:
        """Store `item`. Raises ConditionFailed."""
        await self.database.write(self.build_put(item, condition=condition, new=new))

    async def delete(self, *key: str, condition: ConditionBase | None = None) -> None:
        """Remove an item. Raises ConditionFailed."""
        await self.database.write(self.build_delete(*key, condition=condition))

    async def update(
        self,
        *key: str,
        set_: dict[str, Any] | None = None,
        add: dict[str, int] | None = None,
        condition: ConditionBase | None = None,
    ) -> T:
        """Update an item, and return the updated item. Raises ConditionFailed."""
        write = self.build_update(*key, set_=set_, add=add, condition=condition)
        response = await self.database.call("update_item", **write.arguments, ReturnValues="ALL_NEW")
        return self._load(response["Attributes"])

    async def query(
        self,
        value: str,
        *,
        index: str | None = None,
        limit: int = 50,
        position: dict[str, Any] | None = None,
        where: ConditionBase | None = None,
        range_: ConditionBase | None = None,
        newest_first: bool = False,
        max_reads: int | None = None,
        max_bytes: int = MAX_PAGE_BYTES,
        consistent: bool = False,
    ) -> Page[T]:
        """Up to `limit` items of one partition of the table or an index, filtered by `where`.

        DynamoDB filters items after reading them, so the query continues until it has `limit` items or made
        `max_reads` calls. A page ends before `max_bytes`, but not before its first item. The position is None if
        and only if there are no more items. An index lags, and cannot be read `consistent`.
        """
        partition = self.spec.partition if index is None else self.spec.index(index).partition
        key = Key(partition).eq(value)
        condition, names, values = render(key & range_ if range_ is not None else key, is_key=True)
        arguments: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": condition,
            "ScanIndexForward": not newest_first,
        }
        if index is not None:
            arguments["IndexName"] = index
        elif consistent:
            arguments["ConsistentRead"] = True
        if where is not None:
            arguments["FilterExpression"], more_names, more_values = render(where, first_placeholder=1000)
            names, values = names | more_names, values | more_values
        arguments["ExpressionAttributeNames"] = names
        arguments["ExpressionAttributeValues"] = values
        found: list[dict[str, Any]] = []
        start = dump_position(position)
        reads = 0
        while True:
            if start:
                arguments["ExclusiveStartKey"] = start
            missing = limit + 1 - len(found)
            response = await self.database.call(
                "query", **arguments, Limit=missing if where is None else max(missing, MIN_FILTERED_READ)
            )
            found += response["Items"]
            start = response.get("LastEvaluatedKey")
            reads += 1
            fitting = min(limit, count_fitting(found, max_bytes))
            if not start or len(found) > fitting or reads == max_reads:
                break
        last = start
        if len(found) > fitting:
            found = found[:fitting]
            last = found[-1]
        return Page(
            items=[self._load(item) for item in found],
            position=to_position(last, self.spec.keys(index)) if last else None,
        )

    async def scan(self) -> list[T]:
        """Every item of the table (strongly consistent). For startup and operators only, never for a request."""
        items: list[T] = []
        position = None
        while True:
            page = await self.scan_page(position=position)
            items += page.items
            position = page.position
            if position is None:
                return items

    async def scan_page(self, *, limit: int | None = None, position: dict[str, Any] | None = None) -> Page[T]:
        """At most `limit` items in no particular order. For startup and operators only, never for a request."""
        arguments: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        if limit is not None:
            arguments["Limit"] = limit
        if start := dump_position(position):
            arguments["ExclusiveStartKey"] = start
        response = await self.database.call("scan", **arguments)
        last = response.get("LastEvaluatedKey")
        return Page(
            items=[self._load(item) for item in response["Items"]],
            position=to_position(last, self.spec.keys()) if last else None,
        )

    def _key(self, key: Sequence[str]) -> dict[str, Any]:
        return {n: serialize(v) for n, v in zip(self.spec.keys(), key, strict=True)}

    def _write(self, kind: str, arguments: dict[str, Any], condition: ConditionBase | None) -> Write:
        arguments = {"TableName": self._name, **arguments}
        if condition is not None:
            text, names, values = render(condition)
            arguments["ConditionExpression"] = text
            arguments["ExpressionAttributeNames"] = names | arguments.get("ExpressionAttributeNames", {})
            values |= arguments.get("ExpressionAttributeValues", {})
            if values:
                arguments["ExpressionAttributeValues"] = values
        return Write(kind=kind, arguments=arguments)

    def _load(self, attributes: dict[str, Any]) -> T:
        return load(self.spec.item, attributes)
