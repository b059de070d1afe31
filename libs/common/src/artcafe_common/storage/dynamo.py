"""Typed access to DynamoDB.

`Table` is for items that belong to no tenant (users, challenges, accounts by key); items of tenants are accessed
through `TenantTable` in `tenant_table.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Generic, Self, TypeVar

import aiohttp
import msgspec
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.storage.items import (
    dump,
    dump_position,
    dump_value,
    load,
    render,
    serialize,
    to_position,
)
from artcafe_common.storage.tables import TableSpec, create_table_request

T = TypeVar("T", bound=msgspec.Struct)
MAX_POOL_CONNECTIONS = 64
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 4
# The least number of items that a filtered query reads per call, since a filter may drop most of them.
MIN_FILTERED_READ = 100
# DynamoDB's limit for one BatchWriteItem.
MAX_BATCH_WRITES = 25
WRITE_ATTEMPTS = 4
RETRY_PAUSE_S = 0.05

log = structlog.get_logger()


def error_code(error: StoreUnavailable) -> str:
    """DynamoDB's code of the failure; empty if it did not respond."""
    response: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


class ConditionFailed(Exception):
    """The condition of a write does not hold; nothing was written."""


class TransactionFailed(Exception):
    """A transaction was not applied. `failed` contains the indexes of the writes whose condition failed."""

    def __init__(self, failed: tuple[int, ...]) -> None:
        super().__init__(f"conditions failed at {failed}")
        self.failed = failed


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some items of a list and the position after them; None at the end of the list."""

    items: list[T]
    position: dict[str, Any] | None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write that a table has built, for `Database.write`, `transact_write` or `batch_write`."""

    kind: str
    arguments: dict[str, Any]


class Database:
    """A pooled DynamoDB client."""

    def __init__(self, *, region: str, prefix: str, environ: Mapping[str, str] | None = None) -> None:
        # `environ` replaces the process's environment, which botocore reads by default.
        self._client_options = (
            {}
            if environ is None
            else {
                "endpoint_url": environ.get("AWS_ENDPOINT_URL"),
                "aws_access_key_id": environ.get("AWS_ACCESS_KEY_ID"),
                "aws_secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY"),
            }
        )
        self._region = region
        self._prefix = prefix
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=MAX_POOL_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        self._client = await self._stack.enter_async_context(
            get_session().create_client(
                "dynamodb", region_name=self._region, config=config, **self._client_options
            )
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def table(self, spec: TableSpec[T]) -> "Table[T]":
        """Access to a table whose items belong to no tenant."""
        return Table(self, spec)

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Make one DynamoDB call. Raises ConditionFailed, TransactionFailed or StoreUnavailable."""
        try:
            return await getattr(self._client, operation)(**arguments)  # type: ignore[no-any-return]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                raise ConditionFailed from None
            if code == "TransactionCanceledException":
                reasons = error.response.get("CancellationReasons", [])
                codes = [reason.get("Code") for reason in reasons]
                failed = tuple(i for i, c in enumerate(codes) if c == "ConditionalCheckFailed")
                if failed:
                    raise TransactionFailed(failed) from None
            log.warning("dynamodb_call_failed", operation=operation, code=code)
            raise StoreUnavailable("DynamoDB rejected the call") from error
        except (BotoCoreError, OSError, aiohttp.ClientError, TimeoutError) as error:
            log.warning("dynamodb_unreachable", operation=operation, reason=repr(error))
            raise StoreUnavailable("DynamoDB did not respond") from error

    async def write(self, write: Write) -> None:
        """Execute one write. Raises ConditionFailed."""
        await self.call(f"{write.kind.lower()}_item", **write.arguments)

    async def transact_write(self, writes: Sequence[Write]) -> None:
        """Execute all writes or none. Raises TransactionFailed."""
        for attempt in range(WRITE_ATTEMPTS):
            try:
                await self.call("transact_write_items", TransactItems=[{w.kind: w.arguments} for w in writes])
            except StoreUnavailable as error:
                # DynamoDB cancels a transaction that conflicts with another one on the same item.
                if error_code(error) != "TransactionCanceledException" or attempt == WRITE_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(RETRY_PAUSE_S * 2**attempt)
            else:
                return

    async def batch_write(self, writes: Sequence[Write]) -> None:
        """Execute unconditional puts and deletes in batches, in no particular order and not atomically.

        Raises StoreUnavailable if some were not executed; the writes may be repeated.
        """
        starts = range(0, len(writes), MAX_BATCH_WRITES)
        batches = (writes[start : start + MAX_BATCH_WRITES] for start in starts)
        await asyncio.gather(*map(self._write_batch, batches))

    async def _write_batch(self, writes: Sequence[Write]) -> None:
        pending: dict[str, list[dict[str, Any]]] = {}
        for write in writes:
            arguments = dict(write.arguments)
            pending.setdefault(arguments.pop("TableName"), []).append({f"{write.kind}Request": arguments})
        for attempt in range(WRITE_ATTEMPTS):
            response = await self.call("batch_write_item", RequestItems=pending)
            pending = response.get("UnprocessedItems") or {}
            if not pending:
                return
            await asyncio.sleep(RETRY_PAUSE_S * 2**attempt)
        raise StoreUnavailable("DynamoDB throttles writes")

    async def check_tables(self, specs: Sequence[TableSpec[Any]]) -> None:
        """Raises StoreUnavailable unless every table exists."""
        for spec in specs:
            await self.call("describe_table", TableName=self._prefix + spec.name)

    async def create_table(self, spec: TableSpec[Any]) -> bool:
        """Create a table with its indexes and TTL; False if it exists already."""
        name = self._prefix + spec.name
        created = name not in await self._list_tables()
        if created:
            await self.call("create_table", **create_table_request(spec, self._prefix))
            await self._client.get_waiter("table_exists").wait(TableName=name)
        # A table without TTL remains if an earlier run was killed in between.
        if spec.ttl and (created or not await self._has_ttl(name)):
            await self.call(
                "update_time_to_live",
                TableName=name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": spec.ttl},
            )
        return created

    async def _list_tables(self) -> set[str]:
        names: set[str] = set()
        start: dict[str, str] = {}
        while True:
            page = await self.call("list_tables", **start)
            names.update(page["TableNames"])
            if "LastEvaluatedTableName" not in page:
                return names
            start = {"ExclusiveStartTableName": page["LastEvaluatedTableName"]}

    async def _has_ttl(self, name: str) -> bool:
        response = await self.call("describe_time_to_live", TableName=name)
        return response["TimeToLiveDescription"]["TimeToLiveStatus"] in ("ENABLED", "ENABLING")

    @property
    def prefix(self) -> str:
        """The prefix of every table's name."""
        return self._prefix


class Table(Generic[T]):
    """Access to one table by its primary key and indexes."""

    def __init__(self, database: Database, spec: TableSpec[T]) -> None:
        self.database = database
        self.spec = spec
        self._name = database.prefix + spec.name

    async def get(self, *key: str, consistent: bool = False) -> T | None:
        """The item with this key; None if there is none."""
        answer = await self.database.call(
            "get_item", TableName=self._name, Key=self._key(key), ConsistentRead=consistent
        )
        return self._load(answer["Item"]) if "Item" in answer else None

    def build_put(self, item: T, *, condition: ConditionBase | None = None, new: bool = False) -> Write:
        """A write that stores `item`; with `new`, on condition that no item has its key."""
        if new:
            condition = Attr(self.spec.partition).not_exists()
        return self._write("Put", {"Item": dump(item)}, condition)

    def build_delete(self, *key: str, condition: ConditionBase | None = None) -> Write:
        """A write that removes the item with this key."""
        return self._write("Delete", {"Key": self._key(key)}, condition)

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
        answer = await self.database.call("update_item", **write.arguments, ReturnValues="ALL_NEW")
        return self._load(answer["Attributes"])

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
    ) -> Page[T]:
        """Up to `limit` items of one partition of the table or an index, filtered by `where`.

        DynamoDB filters items after reading them, so the query continues until it has `limit` items or made
        `max_reads` calls. The position is None if and only if there are no more items.
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
            answer = await self.database.call(
                "query", **arguments, Limit=missing if where is None else max(missing, MIN_FILTERED_READ)
            )
            found += answer["Items"]
            start = answer.get("LastEvaluatedKey")
            reads += 1
            if not start or len(found) > limit or reads == max_reads:
                break
        last = start
        if len(found) > limit:
            found = found[:limit]
            last = found[-1]
        return Page(
            items=[self._load(item) for item in found],
            position=to_position(last, self.spec.keys(index)) if last else None,
        )

    async def scan(self) -> list[T]:
        """Every item of the table. For startup and operators only, never for a request."""
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
        arguments: dict[str, Any] = {"TableName": self._name}
        if limit is not None:
            arguments["Limit"] = limit
        if start := dump_position(position):
            arguments["ExclusiveStartKey"] = start
        answer = await self.database.call("scan", **arguments)
        last = answer.get("LastEvaluatedKey")
        return Page(
            items=[self._load(item) for item in answer["Items"]],
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
