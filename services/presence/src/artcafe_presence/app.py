"""The composition root of the presence service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.connect import connect
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.ingest import INGEST_SUBJECT
from artcafe_common.contracts.presence import GatewayAlive, HeartbeatsReceived
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_common.runtime import Check, run_service
from artcafe_common.storage.dynamo import Database
from artcafe_presence.broker_connections import Broker
from artcafe_presence.deadlines import Deadlines
from artcafe_presence.endpoints import Endpoints
from artcafe_presence.gateways import Gateways
from artcafe_presence.outbox import announcements, table_changes
from artcafe_presence.reports import Reports
from artcafe_presence.settings import PresenceSettings
from artcafe_presence.store import Store

NAME = "presence"
FLUSH_S = 0.05
RETRY_S = 0.5
log = structlog.get_logger()


@asynccontextmanager
async def app(settings: PresenceSettings) -> AsyncIterator[None]:
    """The presence service, from its stores to its jobs; left in the reverse order."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        store = await stack.enter_async_context(Store(database, settings))
        checks: dict[str, Check] = {"redis": store.check_redis, "dynamodb": store.check_dynamodb}
        host = await stack.enter_async_context(run_service(NAME, settings, checks))

        comparison_asked = asyncio.Event()
        system = await stack.enter_async_context(_system(settings, comparison_asked))
        await host.serve_when_ready(Endpoints(store, heartbeat_interval_s=settings.heartbeat_interval_s))

        gateways = Gateways(store)
        reports = Reports(store, on_unknown_broker=comparison_asked.set)
        broker = Broker(
            system,
            store,
            asked=comparison_asked,
            grace_s=settings.reconnect_grace_s,
            sweep_interval_s=settings.sweep_interval_s,
        )
        deadlines = Deadlines(store, host.bus.nc, on_lost=comparison_asked.set)
        consumer = EventConsumer(host.bus, NAME, gateways.events(), concurrent=True)

        # Whoever listens must not find deadlines that passed while nobody did.
        with suppress(CommandError):
            await deadlines.check()
        await broker.listen()
        await host.bus.subscribe_signal(HeartbeatsReceived, gateways.beats)
        await host.bus.subscribe_signal(GatewayAlive, gateways.alive)
        await host.bus.nc.subscribe(INGEST_SUBJECT, queue=NAME, cb=reports.receive)
        stack.push_async_callback(reports.flush)
        await stack.enter_async_context(
            run_background(
                consumer.run(),
                run_periodically(FLUSH_S, reports.flush, name="reports"),
                run_periodically(settings.deadline_check_s, deadlines.check, name="deadlines"),
                run_periodically(RETRY_S, broker.round, name="broker"),
                run_periodically(0, announcements(store, host.bus).drain, name="announcements"),
                run_periodically(0, table_changes(store).drain, name="rows"),
            )
        )
        yield


@asynccontextmanager
async def _system(settings: PresenceSettings, comparison_asked: asyncio.Event) -> AsyncIterator[Nats]:
    async def back() -> None:
        comparison_asked.set()

    system = await connect(
        settings.nats_url, settings.keys_dir / f"{NAME}-system.creds", name=NAME, on_reconnect=back
    )
    try:
        yield system
    finally:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(system.drain(), 3)
