"""Errors of DynamoDB."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.retrying import deadline
from artcafe_common.settings import SettingsError
from artcafe_common.storage.dynamo import READ_TIMEOUT_S, Database
from artcafe_common.storage.table import Table
from artcafe_common.storage.tables import TableSpec


class Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str


@asynccontextmanager
async def connected(on_connection):
    """A database whose server handles each connection with a callback."""
    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    async with server, Database(region="us-east-1", prefix="", environ=environ) as database:
        yield database


async def write(database):
    table = Table(database, TableSpec(name="t", item=Item, partition="id"))
    await database.transact_write([table.build_put(Item(id="a"), new=True)])


async def test_interrupted_transaction_raises_store_unavailable():
    async def hang_up(_reader, writer):
        writer.close()

    async with connected(hang_up) as database:
        with pytest.raises(StoreUnavailable), deadline(5, patience_s=0.2):
            await write(database)


async def test_caller_gets_an_error_when_its_patience_ends():
    ended = asyncio.Event()

    async def hang(_reader, writer):
        await ended.wait()
        writer.close()

    async with connected(hang) as database:
        started_at = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not respond"), deadline(30, patience_s=0.2):
            await write(database)
        assert time.monotonic() - started_at < READ_TIMEOUT_S
        ended.set()


async def test_tasks_that_wait_for_one_that_gives_up_fail_with_it():
    ended = asyncio.Event()

    async def hang(_reader, writer):
        await ended.wait()
        writer.close()

    async def change(database):
        async with database.exclusive("item"):
            await write(database)

    async with connected(hang) as database:
        started_at = time.monotonic()
        with deadline(30, patience_s=0.3):
            results = await asyncio.gather(*(change(database) for _ in range(20)), return_exceptions=True)
        assert {type(each) for each in results} == {StoreUnavailable}
        assert time.monotonic() - started_at < 20 * 0.3 / 2
        ended.set()


@pytest.mark.parametrize(
    ("region", "url"), [("us east", "http://127.0.0.1:1"), ("us-east-1", "somewhere")], ids=["region", "url"]
)
async def test_invalid_setting_of_aws_is_named(region, url):
    with pytest.raises(SettingsError, match=r"^AWS_REGION, AWS_ENDPOINT_URL [^\n]+ is not valid: [^\n]+$"):
        async with Database(region=region, prefix="", environ={"AWS_ENDPOINT_URL": url}):
            pass
