"""Tables: made once, whatever is there already."""

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import msgspec

from artcafe_common.dev.stack import REGION
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.tables import TableSpec

# As many as one answer of DynamoDB names, and one more.
MANY = 101


class Item(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    expires_at: int = 0


async def test_tables_are_made_once_and_expire_also_beside_a_hundred_others(stack):
    specs = [TableSpec(name=f"t{n:03}", item=Item, partition="id") for n in range(MANY)]
    last = TableSpec(name="u", item=Item, partition="id", ttl="expires_at")
    async with Database(region=REGION, prefix="many-", environ=stack.environ()) as database:
        try:
            for spec in specs:
                assert await database.create_table(spec)
            assert not await database.create_table(specs[-1])
            # Made by a run that was killed before it said when items expire.
            assert await database.create_table(TableSpec(name="u", item=Item, partition="id"))
            assert not await database.create_table(last)
            told = await database.call("describe_time_to_live", TableName="many-u")
            assert told["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
            assert not await database.create_table(last)
        finally:
            for spec in (*specs, last):
                await database.call("delete_table", TableName=f"many-{spec.name}")


async def test_one_command_makes_every_table(stack):
    command = [str(Path(sys.executable).parent / "artcafe"), "tables", "create"]
    environ = {**stack.environ(), "ARTCAFE_TABLE_PREFIX": "fresh-"}
    declared = {
        f"fresh-{spec.name}"
        for service in ("identity", "metering", "presence", "tenancy")
        for spec in importlib.import_module(f"artcafe_{service}.tables").TABLES
    }
    told = []
    for _ in range(2):
        done = await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    async with Database(region=REGION, prefix="fresh-", environ=stack.environ()) as database:
        try:
            for name in declared:
                answer = await database.call("describe_table", TableName=name)
                assert answer["Table"]["TableStatus"] == "ACTIVE"
        finally:
            for name in declared:
                await database.call("delete_table", TableName=name)
    # The first time it says what it made, the second time there was nothing to do.
    assert [all(name in text for name in declared) for text in told] == [True, False]
