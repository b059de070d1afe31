"""Creation of the DynamoDB tables."""

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import msgspec

from artcafe_common.dev.stack import REGION
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.tables import TableSpec

# One more than ListTables returns in a page.
TABLE_COUNT = 101


class Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    expires_at: int = 0


async def test_table_is_created_once_with_its_ttl_among_many_tables(stack):
    specs = [TableSpec(name=f"t{n:03}", item=Item, partition="id") for n in range(TABLE_COUNT)]
    last = TableSpec(name="u", item=Item, partition="id", ttl="expires_at")
    async with Database(region=REGION, prefix="many-", environ=stack.environ()) as database:
        try:
            for spec in specs:
                assert await database.create_table(spec)
            assert not await database.create_table(specs[-1])
            # As an interrupted run left it: without its TTL.
            assert await database.create_table(TableSpec(name="u", item=Item, partition="id"))
            assert not await database.create_table(last)
            response = await database.call("describe_time_to_live", TableName="many-u")
            assert response["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
            assert not await database.create_table(last)
        finally:
            for spec in (*specs, last):
                await database.call("delete_table", TableName=f"many-{spec.name}")


async def test_one_command_creates_every_table(stack):
    command = [str(Path(sys.executable).parent / "artcafe"), "tables", "create"]
    environ = {**stack.environ(), "ARTCAFE_TABLE_PREFIX": "fresh-"}
    declared = {
        f"fresh-{spec.name}"
        for service in ("identity", "metering", "presence", "tenancy")
        for spec in importlib.import_module(f"artcafe_{service}.tables").TABLES
    }
    outputs = []
    for _ in range(2):
        result = await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    async with Database(region=REGION, prefix="fresh-", environ=stack.environ()) as database:
        try:
            for name in declared:
                response = await database.call("describe_table", TableName=name)
                assert response["Table"]["TableStatus"] == "ACTIVE"
        finally:
            for name in declared:
                await database.call("delete_table", TableName=name)
    # The second run creates nothing.
    assert [all(name in text for name in declared) for text in outputs] == [True, False]
