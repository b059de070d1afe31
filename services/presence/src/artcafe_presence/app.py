"""The composition root of the presence service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
import structlog

from artcafe_common.account_keys import AccountKeyCache
from artcafe_common.broker.client import HardenedNats
from artcafe_common.broker.connect import connect
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import GatewayAlive, HeartbeatsReceived
from artcafe_common.contracts.tenancy.events import AccountDataDeleted, AccountExpired, PlanChanged
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_common.runtime import Check, run_service
from artcafe_common.storage.dynamo import Database
from artcafe_presence.broker_connections import BrokerConnectionMonitor
from artcafe_presence.comparison_requests import ComparisonRequests
from artcafe_presence.connection_ender import ConnectionEnder
from artcafe_presence.connection_events import ConnectionEventHandler
from artcafe_presence.connection_inspector import ConnectionInspector
from artcafe_presence.connection_limit import ConnectionLimitEnforcer
from artcafe_presence.connection_owners import ConnectionOpener, ConnectionOwnerResolver
from artcafe_presence.deadlines import DeadlineChecker
from artcafe_presence.endpoints import Endpoints
from artcafe_presence.gateways import GatewayEventHandler
from artcafe_presence.ingest import IngestReceiver
from artcafe_presence.ingest_usage import IngestUsageReporter
from artcafe_presence.metrics import register as register_metrics
from artcafe_presence.outbox import row_relay, transition_relay
from artcafe_presence.reports import LOG_INTERVAL_S, ReportBuffer
from artcafe_presence.server_watch import ServerWatch
from artcafe_presence.settings import Settings
from artcafe_presence.store import Store

NAME = "presence"
SERVERS_INTERVAL_S = 1
FLUSH_INTERVAL_S = 0.05
USAGE_INTERVAL_S = 0.2
RETRY_INTERVAL_S = 0.5
LIMIT_INTERVAL_S = 0.1
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

        requests = ComparisonRequests()
        system = await stack.enter_async_context(_system_account(settings, requests))
        ender = ConnectionEnder(bus=host.bus, system=system, store=store)
        await host.serve_when_ready(
            Endpoints(
                store,
                ender,
                ConnectionInspector(system),
                host.bus,
                heartbeat_interval_s=settings.heartbeat_interval_s,
            )
        )

        keys = AccountKeyCache(host.bus, service=NAME)
        opener = ConnectionOpener(store, ConnectionOwnerResolver(keys), requests=requests)
        gateways = GatewayEventHandler(store)
        reports = ReportBuffer(store, on_unknown_server=requests.request)
        ingest_usage = IngestUsageReporter(host.bus)
        ingest = IngestReceiver(keys=keys, usage=ingest_usage, reports=reports)
        broker = BrokerConnectionMonitor(
            system,
            opener,
            grace_s=settings.reconnect_grace_s,
            interval_s=settings.sweep_interval_s,
        )
        servers = ServerWatch(system, store, on_return=requests.disturb)
        events = ConnectionEventHandler(system, opener)
        deadlines = DeadlineChecker(store, host.bus.nc, on_state_restored=requests.request)
        limit = ConnectionLimitEnforcer(bus=host.bus, ender=ender, store=store)
        host.on_reconnect.append(limit.on_reconnect)

        async def delete_presence(event: AccountExpired) -> None:
            await store.delete_tenant(event.tenant_id)
            await host.bus.publish(
                AccountDataDeleted(tenant_id=event.tenant_id, round=event.round, service=NAME)
            )

        consumer = EventConsumer(
            host.bus,
            NAME,
            {
                **gateways.handlers(),
                PlanChanged: limit.on_plan_changed,
                AccountExpired: delete_presence,
            },
            concurrent=True,
        )

        register_metrics(host.metrics, gateways=gateways, ingest=ingest, reports=reports)
        host.metrics.add_connections(system=system)
        host.metrics.add_consumers(consumer)
        host.metrics.add_stores(redis=store.redis_statistics, dynamodb=database.statistics)

        # Deadlines that passed while no instance ran are extended before anything can expire.
        with suppress(CommandError):
            await deadlines.check()
        await events.subscribe()
        await limit.subscribe()
        await host.bus.subscribe_signal(HeartbeatsReceived, gateways.on_heartbeats)
        await host.bus.subscribe_signal(GatewayAlive, gateways.on_gateway_alive)

        await ingest.subscribe(host.bus.nc)
        stack.push_async_callback(reports.flush)
        stack.push_async_callback(ingest_usage.flush)
        await stack.enter_async_context(
            run_background(
                consumer.run(),
                events.run(),
                run_periodically(FLUSH_INTERVAL_S, reports.flush, name="flush_reports"),
                run_periodically(FLUSH_INTERVAL_S, ingest.resolve, name="resolve_senders"),
                run_periodically(LOG_INTERVAL_S, reports.log_ignored, name="log_ignored_statuses"),
                run_periodically(USAGE_INTERVAL_S, ingest_usage.flush, name="publish_ingest_usage"),
                run_periodically(LIMIT_INTERVAL_S, limit.check, name="check_connection_limits"),
                run_periodically(settings.deadline_check_s, deadlines.check, name="check_deadlines"),
                run_periodically(SERVERS_INTERVAL_S, servers.check, name="check_servers"),
                run_periodically(RETRY_INTERVAL_S, broker.reconcile_when_due, name="reconcile_connections"),
                run_periodically(0, transition_relay(store, host.bus).drain, name="publish_transitions"),
                run_periodically(0, row_relay(store).drain, name="write_rows"),
            )
        )
        yield


@asynccontextmanager
async def _system_account(settings: Settings, requests: ComparisonRequests) -> AsyncIterator[HardenedNats]:
    """A connection to the broker's system account."""

    async def on_reconnect() -> None:
        requests.disturb()

    system = await connect(
        settings.nats_url,
        settings.keys_dir / f"{NAME}-system.creds",
        name=NAME,
        on_reconnect=on_reconnect,
        ca_file=settings.ca_file,
    )
    try:
        yield system
    finally:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(system.drain(), 3)
