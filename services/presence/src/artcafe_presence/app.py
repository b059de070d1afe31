"""The composition root of the presence service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.connect import connect
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.ingest import INGEST_SUBJECT, verify_origin
from artcafe_common.contracts.presence import GatewayAlive, HeartbeatsReceived
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_common.runtime import Check, run_service
from artcafe_common.storage.dynamo import Database
from artcafe_presence.broker_connections import BrokerConnectionMonitor
from artcafe_presence.deadlines import DeadlineChecker
from artcafe_presence.endpoints import Endpoints
from artcafe_presence.gateways import GatewayEventHandler
from artcafe_presence.ingest_usage import IngestUsageReporter
from artcafe_presence.outbox import row_relay, transition_relay
from artcafe_presence.reports import ReportBuffer
from artcafe_presence.settings import Settings
from artcafe_presence.store import Store

NAME = "presence"
FLUSH_INTERVAL_S = 0.05
USAGE_INTERVAL_S = 0.2
RETRY_INTERVAL_S = 0.5
log = structlog.get_logger()


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Run the presence service until the context exits; parts stop in reverse order."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        store = await stack.enter_async_context(Store(database, settings))
        checks: dict[str, Check] = {"redis": store.check_redis, "dynamodb": store.check_dynamodb}
        host = await stack.enter_async_context(run_service(NAME, settings, checks))

        reconcile_requested = asyncio.Event()
        system = await stack.enter_async_context(_system_account(settings, reconcile_requested))
        await host.serve_when_ready(Endpoints(store, heartbeat_interval_s=settings.heartbeat_interval_s))

        gateways = GatewayEventHandler(store)
        reports = ReportBuffer(store, on_unknown_server=reconcile_requested.set)
        ingest_usage = IngestUsageReporter(host.bus)
        broker = BrokerConnectionMonitor(
            system,
            store,
            reconcile_requested=reconcile_requested,
            grace_s=settings.reconnect_grace_s,
            interval_s=settings.sweep_interval_s,
        )
        deadlines = DeadlineChecker(store, host.bus.nc, on_state_restored=reconcile_requested.set)
        consumer = EventConsumer(host.bus, NAME, gateways.handlers(), concurrent=True)

        # Deadlines that passed while no instance ran are extended before anything can expire.
        with suppress(CommandError):
            await deadlines.check()
        await broker.subscribe()
        await host.bus.subscribe_signal(HeartbeatsReceived, gateways.on_heartbeats)
        await host.bus.subscribe_signal(GatewayAlive, gateways.on_gateway_alive)

        async def on_ingest(message: Msg) -> None:
            headers = message.headers or {}
            origin = verify_origin(message.subject, headers)
            if origin is not None:
                ingest_usage.record(origin, headers, message.data)
                reports.receive(origin, message.data)

        await host.bus.nc.subscribe(INGEST_SUBJECT, queue=NAME, cb=on_ingest)
        stack.push_async_callback(reports.flush)
        stack.push_async_callback(ingest_usage.flush)
        await stack.enter_async_context(
            run_background(
                consumer.run(),
                run_periodically(FLUSH_INTERVAL_S, reports.flush, name="flush_reports"),
                run_periodically(USAGE_INTERVAL_S, ingest_usage.flush, name="publish_ingest_usage"),
                run_periodically(settings.deadline_check_s, deadlines.check, name="check_deadlines"),
                run_periodically(RETRY_INTERVAL_S, broker.reconcile_when_due, name="reconcile_connections"),
                run_periodically(0, transition_relay(store, host.bus).drain, name="publish_transitions"),
                run_periodically(0, row_relay(store).drain, name="write_rows"),
            )
        )
        yield


@asynccontextmanager
async def _system_account(settings: Settings, reconcile_requested: asyncio.Event) -> AsyncIterator[Nats]:
    """A connection to the broker's system account."""

    async def on_reconnect() -> None:
        reconcile_requested.set()

    system = await connect(
        settings.nats_url, settings.keys_dir / f"{NAME}-system.creds", name=NAME, on_reconnect=on_reconnect
    )
    try:
        yield system
    finally:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(system.drain(), 3)
