"""Typed access to DynamoDB.

Items that belong to no tenant (users, challenges, accounts by key) are accessed through `Table` in `table.py`, items
of tenants through `TenantTable` in `tenant_table.py`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.storage.tables import TableSpec, create_table_request

T = TypeVar("T", bound=msgspec.Struct)
MAX_POOL_CONNECTIONS = 64
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 4
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
