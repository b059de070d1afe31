"""The composition root of the metering service."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from artcafe_common.broker.claims import Credentials, claims_of, issuer_of
from artcafe_common.broker.connect import connect
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.contracts.ingest import IngestReceived
from artcafe_common.contracts.metering import UsageRecorded
from artcafe_common.contracts.tenancy.events import AccountDataDeleted, AccountExpired
from artcafe_common.lifecycle import run_background, run_periodically
from artcafe_common.runtime import run_service
from artcafe_common.settings import read_key
from artcafe_common.storage.dynamo import Database
from artcafe_metering.archive import UsageArchive
from artcafe_metering.broker_monitor import BrokerMonitor
from artcafe_metering.broker_usage import BridgeReconciler, BrokerUsageCollector
from artcafe_metering.endpoints import Endpoints
from artcafe_metering.metrics import register as register_metrics
from artcafe_metering.owners import OwnerResolver
from artcafe_metering.quotas import QuotaMonitor
from artcafe_metering.recovery import UsageRecovery
from artcafe_metering.rollup import Rollup
from artcafe_metering.settings import Settings
from artcafe_metering.store import open_counters

# The durable consumer of usage batches, shared by all instances.
CONSUMER = "metering"
QUOTA_CHECK_INTERVAL_S = 1.0
BROKER_REPORT_INTERVAL_S = 15.0


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Run the metering service until the context exits; parts stop in reverse order."""
    async with AsyncExitStack() as stack:
        counters = await stack.enter_async_context(open_counters(settings.redis_url, settings.ca_file))
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        archive = UsageArchive(database)
        host = await stack.enter_async_context(
            run_service("metering", settings, {"redis": counters.check, "dynamodb": archive.check})
        )
        system = await connect(
            settings.nats_url,
            settings.keys_dir / "metering-system.creds",
            name="metering",
            ca_file=settings.ca_file,
        )
        stack.push_async_callback(system.close)

        recovery = UsageRecovery(counters, archive)

        async def apply_batch(batch: UsageRecorded) -> None:
            await recovery.ensure(entry.tenant_id for entry in batch.entries)
            await counters.apply_gateway_batch(
                batch.event_id, batch.occurred_at, batch.entries, batch.bridges, batch.refusals
            )

        async def subtract_ingest(event: IngestReceived) -> None:
            await recovery.ensure(entry.tenant_id for entry in event.entries)
            await counters.subtract_ingest(event.event_id, event.occurred_at, event.entries)

        usage_events = EventConsumer(
            host.bus, CONSUMER, {UsageRecorded: apply_batch, IngestReceived: subtract_ingest}
        )

        async def delete_usage(event: AccountExpired) -> None:
            await counters.delete_tenant(event.tenant_id)
            await archive.delete_tenant(event.tenant_id)
            await host.bus.publish(
                AccountDataDeleted(tenant_id=event.tenant_id, round=event.round, service="metering")
            )

        # A separate consumer, so that usage does not wait for deletions.
        deletions = EventConsumer(host.bus, f"{CONSUMER}-deletion", {AccountExpired: delete_usage})
        broker_usage = BrokerUsageCollector(
            system=system, owners=OwnerResolver(host.bus), counters=counters, recovery=recovery
        )
        bridges = BridgeReconciler(
            bus=host.bus, counters=counters, durable=CONSUMER, after_s=settings.settle_after_s
        )
        quotas = QuotaMonitor(host.bus, counters)
        host.on_reconnect.append(quotas.on_reconnect)
        rollup = Rollup(counters, archive)
        host.metrics.add_connections(system=system)
        host.metrics.add_consumers(usage_events, deletions)
        host.metrics.add_stores(redis=counters.statistics, dynamodb=database.statistics)

        monitor = BrokerMonitor(
            system, _account_of(read_key(settings.keys_dir / "metering.creds")), settings.stream_replicas
        )
        register_metrics(host.metrics, monitor=monitor, usage=broker_usage)

        await host.serve_when_ready(Endpoints(counters, archive, monitor, broker_usage, recovery))
        await broker_usage.subscribe()
        await quotas.subscribe()
        await stack.enter_async_context(
            run_background(
                usage_events.run(),
                deletions.run(),
                run_periodically(settings.poll_interval_s, broker_usage.collect_open, name="collect_open"),
                run_periodically(
                    settings.closed_interval_s, broker_usage.collect_closed, name="collect_closed"
                ),
                run_periodically(settings.poll_interval_s, bridges.reconcile, name="reconcile_bridges"),
                run_periodically(QUOTA_CHECK_INTERVAL_S, quotas.check, name="check_quotas"),
                run_periodically(BROKER_REPORT_INTERVAL_S, monitor.read, name="read_broker"),
                run_periodically(settings.rollup_interval_s, rollup.run, name="rollup"),
            )
        )
        yield


def _account_of(credentials: str) -> str:
    """The account that issued a service's credentials: the platform's."""
    token = Credentials.parse(credentials).jwt
    return str(claims_of(token).get("issuer_account") or issuer_of(token))
