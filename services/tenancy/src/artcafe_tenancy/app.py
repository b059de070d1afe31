"""The composition of tenancy, from settings to a running service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.contracts.presence import PresenceChanged
from artcafe_common.cursors import Cursors
from artcafe_common.host import joined
from artcafe_common.service import background
from artcafe_common.settings import read_key
from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.endpoints import Endpoints
from artcafe_tenancy.presence import PresenceMirror
from artcafe_tenancy.settings import TenancySettings
from artcafe_tenancy.store import Store
from artcafe_tenancy.tables import TABLES


@asynccontextmanager
async def app(settings: TenancySettings) -> AsyncIterator[None]:
    """Organizations and what they own, answered until this is left."""
    cursors = Cursors(bytes.fromhex(read_key(settings.keys_dir / "cursor.key")))
    async with (
        Database(region=settings.aws_region, prefix=settings.table_prefix) as database,
        joined("tenancy", settings, {"dynamodb": lambda: database.check(TABLES)}) as host,
    ):
        store = Store(database)
        endpoints = Endpoints(store=store, bus=host.bus, cursors=cursors, default_plan=settings.default_plan)
        await host.wait_and_serve(endpoints)
        mirror = PresenceMirror(store)
        # Concurrent: each event is one write, and the mirror itself refuses what comes out of order.
        consumer = EventConsumer(host.bus, "tenancy", {PresenceChanged: mirror.apply}, concurrent=True)
        async with background(consumer.run()):
            yield
