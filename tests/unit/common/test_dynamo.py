"""Errors of DynamoDB."""

import asyncio

import msgspec
import pytest

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table import Table
from artcafe_common.storage.tables import TableSpec


class Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str


async def test_interrupted_transaction_raises_store_unavailable():
    async def hang_up(_reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    async with server, Database(region="us-east-1", prefix="", environ=environ) as database:
        table = Table(database, TableSpec(name="t", item=Item, partition="id"))
        with pytest.raises(StoreUnavailable):
            await database.transact_write([table.build_put(Item(id="a"), new=True)])
