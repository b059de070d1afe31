"""Typed access to DynamoDB.

Items that belong to no tenant (users, challenges, accounts by key) are accessed through `Table` in `table.py`, items
of tenants through `TenantTable` in `tenant_table.py`.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import structlog
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common import tracing
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.concurrency import run_together
from artcafe_common.latency import CallStatistics
from artcafe_common.retrying import patience, retrying, time_left
from artcafe_common.settings import SettingsError
from artcafe_common.storage.aws_session import aws_session
from artcafe_common.storage.dynamo_errors import (
    ConditionFailed,
    Conflict,
    TemporaryFailure,
    TransactionFailed,
    to_error,
)
from artcafe_common.storage.keyed_locks import KeyedLocks
from artcafe_common.storage.tables import TableSpec, create_table_request

T = TypeVar("T", bound=msgspec.Struct)
MAX_POOL_CONNECTIONS = 64
CONNECT_TIMEOUT_S = 1
# Long enough for a busy DynamoDB, and short enough for a second attempt of a caller that can wait.
READ_TIMEOUT_S = 2
# DynamoDB's limit for one BatchWriteItem.
MAX_BATCH_WRITES = 25

log = structlog.get_logger()


class _GivenUp(Exception):
    """A failure lasted for too long to repeat the call."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write that a table has built, for `Database.write`, `transact_write` or `batch_write`."""

    kind: str
    arguments: dict[str, Any]


class Database:
    """A pooled DynamoDB client, which repeats what fails for the moment until the caller's deadline."""

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
        self._busy_items = KeyedLocks()
        # When a call of any task was last served, in `time.monotonic()`.
        self._served_at = 0.0
        # Why the last call was given up; empty once a call has been served again.
        self._outage = ""
        self.statistics = CallStatistics()

    async def __aenter__(self) -> Self:
        """Raises SettingsError."""
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=MAX_POOL_CONNECTIONS,
            # Repeated here instead, within the deadline.
            retries={"mode": "standard", "total_max_attempts": 1},
            # Requests are built by this package alone. For 25 items it takes 1.3 ms, three times their serialization.
            parameter_validation=False,
        )
        try:
            self._client = await self._stack.enter_async_context(
                aws_session().create_client(
                    "dynamodb", region_name=self._region, config=config, **self._client_options
                )
            )
        except (BotoCoreError, ValueError) as error:
            raise SettingsError(
                f"AWS_REGION, AWS_ENDPOINT_URL or another AWS_… is not valid: {error}"
            ) from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Make one DynamoDB call. Raises ConditionFailed, TransactionFailed, InvalidRequest or StoreUnavailable.

        It may be executed twice if the first response is lost, and then raise ConditionFailed for a change that was
        made; `transact_write` is executed once.
        """
        started_at, result = time.perf_counter(), "ok"
        try:
            with tracing.child(f"dynamodb {operation}", db_system_name="aws.dynamodb"):
                return await self._call_until_deadline(operation, arguments)
        except StoreUnavailable:
            result = "error"
            raise
        finally:
            self.statistics.record(operation, result, time.perf_counter() - started_at)

    async def _call_until_deadline(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        failing_since = time.monotonic()
        reasons: list[str] = []
        attempts = retrying(TemporaryFailure, on_failure=lambda error: reasons.append(str(error)))
        try:
            async for attempt in attempts:
                with attempt:
                    try:
                        return await self._call(operation, arguments, failing_since)
                    except Conflict:
                        # DynamoDB responds, so the end of conflicts is waited for until the deadline.
                        failing_since = time.monotonic()
                        raise
        except (TemporaryFailure, _GivenUp) as error:
            # The last attempt may have had no time for a response.
            reason = reasons[-1] if reasons else str(error)
            log.warning("dynamodb_call_failed", operation=operation, reason=reason, attempts=len(reasons) + 1)
            raise StoreUnavailable(reason) from error.__cause__
        raise AssertionError("unreachable")

    async def _call(self, operation: str, arguments: dict[str, Any], failing_since: float) -> dict[str, Any]:
        failure: Exception
        cause: Exception
        request = getattr(self._client, operation)(**arguments)
        try:
            response = await self._wait_for_response(request, failing_since)
        except ClientError as error:
            failure, cause = to_error(error), error
            if isinstance(failure, StoreUnavailable):
                log.error("dynamodb_call_rejected", operation=operation, reason=str(error))
        except (BotoCoreError, OSError, aiohttp.ClientError, TimeoutError) as error:
            failure, cause = TemporaryFailure("DynamoDB did not respond"), error
            failing_since = self._silent_since(failing_since)
        else:
            self._on_served()
            return response
        if not isinstance(failure, TemporaryFailure) or isinstance(failure, Conflict):
            self._on_served()
        elif time.monotonic() - failing_since >= patience():
            self._outage = str(failure)
            failure = _GivenUp(self._outage)
        raise failure from cause

    async def _wait_for_response(
        self, request: Coroutine[Any, Any, dict[str, Any]], failing_since: float
    ) -> dict[str, Any]:
        """The response, which is waited for as long as DynamoDB serves others; TimeoutError."""
        running = asyncio.create_task(request)
        try:
            while not running.done():
                silent_s = time.monotonic() - self._silent_since(failing_since)
                left = min(time_left(), patience() - silent_s)
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({running}, timeout=left)
            return running.result()
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})

    def _silent_since(self, failing_since: float) -> float:
        # A busy DynamoDB serves others meanwhile; one that is away, nobody.
        return max(failing_since, self._served_at)

    def _on_served(self) -> None:
        self._served_at, self._outage = time.monotonic(), ""

    async def write(self, write: Write, *, once: bool = False) -> None:
        """Execute one write. Raises ConditionFailed: with `once`, never because of its own first attempt."""
        if not once:
            await self.call(f"{write.kind.lower()}_item", **write.arguments)
            return
        try:
            await self.transact_write([write])
        except TransactionFailed:
            raise ConditionFailed from None

    async def transact_write(self, writes: Sequence[Write]) -> None:
        """Execute all writes or none, once even if a response is lost. Raises TransactionFailed."""
        items = [{write.kind: write.arguments} for write in writes]
        await self.call("transact_write_items", TransactItems=items, ClientRequestToken=str(uuid.uuid4()))

    @asynccontextmanager
    async def exclusive(self, item: str) -> AsyncIterator[None]:
        """Change a much written item in this context; other tasks of this process wait, so as not to conflict.

        Transactions of other processes conflict, and are repeated. Raises StoreUnavailable if it takes too long, and
        if the tasks before this one ended because DynamoDB does not respond: this one has waited as long.
        """
        try:
            async with asyncio.timeout(time_left()):
                has_waited = await self._busy_items.acquire(item)
        except TimeoutError:
            raise StoreUnavailable("too many concurrent changes") from None
        try:
            if has_waited and self._outage:
                raise StoreUnavailable(self._outage)
            yield
        finally:
            self._busy_items.release(item)

    async def batch_write(self, writes: Sequence[Write]) -> None:
        """Execute unconditional puts and deletes in batches, in no particular order and not atomically.

        Raises StoreUnavailable if some were not executed; the writes may be repeated.
        """
        starts = range(0, len(writes), MAX_BATCH_WRITES)
        batches = (writes[start : start + MAX_BATCH_WRITES] for start in starts)
        await run_together(*map(self._write_batch, batches))

    async def _write_batch(self, writes: Sequence[Write]) -> None:
        pending: dict[str, list[dict[str, Any]]] = {}
        for write in writes:
            arguments = dict(write.arguments)
            pending.setdefault(arguments.pop("TableName"), []).append({f"{write.kind}Request": arguments})
        try:
            async for attempt in retrying(TemporaryFailure):
                with attempt:
                    response = await self.call("batch_write_item", RequestItems=pending)
                    pending = response.get("UnprocessedItems") or {}
                    _raise_if(pending)
        except TemporaryFailure as error:
            raise StoreUnavailable(str(error)) from None

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


def _raise_if(unprocessed: dict[str, Any]) -> None:
    if unprocessed:
        raise TemporaryFailure("DynamoDB throttles requests")
