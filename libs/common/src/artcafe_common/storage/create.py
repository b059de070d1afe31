"""Creates the DynamoDB tables of the installed services."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.tables import TableSpec

ENTRY_POINTS = "artcafe.tables"


def installed_tables() -> list[TableSpec[Any]]:
    """The tables that installed services declare in the entry point group `artcafe.tables`."""
    return [spec for entry in entry_points(group=ENTRY_POINTS) for spec in entry.load()]


async def create_tables(*, region: str, prefix: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Create the missing tables, and return their names. Idempotent."""
    async with Database(region=region, prefix=prefix, environ=environ) as database:
        return [prefix + spec.name for spec in installed_tables() if await database.create_table(spec)]
