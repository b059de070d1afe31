"""How metering is put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from artcafe_common.broker.connect import connect
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.contracts.metering import UsageRecorded
from artcafe_common.lifecycle import run_background, run_periodically, wait_until_available
from artcafe_common.runtime import run_service
from artcafe_common.storage.dynamo import Database
from artcafe_metering.broker_usage import BridgeSettler, BrokerMeter
from artcafe_metering.endpoints import Endpoints
from artcafe_metering.ingest import IngestReader
from artcafe_metering.owners import Owners
from artcafe_metering.quotas import QuotaWatch
from artcafe_metering.rollup import Rollup
from artcafe_metering.settings import Settings
from artcafe_metering.store import Archive, counters

# The one consumer of the gateways' batches, shared by all instances.
CONSUMER = "metering"
QUOTA_CHECK_S = 1.0


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """metering, running."""
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(counters(settings.redis_url))
        database = await stack.enter_async_context(
            Database(region=settings.aws_region, prefix=settings.table_prefix)
        )
        archive = Archive(database)
        host = await stack.enter_async_context(
            run_service("metering", settings, {"redis": live.check, "dynamodb": archive.check})
        )
        system = await connect(
            settings.nats_url, settings.keys_dir / "metering-system.creds", name="metering"
        )
        stack.push_async_callback(system.close)

        async def apply(batch: UsageRecorded) -> None:
            await live.apply_batch(batch.event_id, batch.occurred_at, batch.entries, batch.bridges)

        batches = EventConsumer(host.bus, CONSUMER, {UsageRecorded: apply})
        ingest = IngestReader(host.bus)
        stack.push_async_callback(ingest.close)
        meter = BrokerMeter(system=system, owners=Owners(host.bus), ingest=ingest, counters=live)
        settler = BridgeSettler(
            bus=host.bus, counters=live, durable=CONSUMER, after_s=settings.settle_after_s
        )
        quotas = QuotaWatch(host.bus, live)
        host.on_reconnect.append(quotas.news_missed)
        rollup = Rollup(live, archive)

        await host.serve_when_ready(Endpoints(live, archive))
        await wait_until_available("ingest", ingest.open)
        await meter.listen()
        await quotas.watch()
        await stack.enter_async_context(
            run_background(
                batches.run(),
                run_periodically(settings.poll_interval_s, meter.poll, name="poll_broker"),
                run_periodically(settings.closed_interval_s, meter.read_closed, name="read_closed"),
                run_periodically(settings.poll_interval_s, settler.settle, name="settle_bridges"),
                run_periodically(QUOTA_CHECK_S, quotas.check, name="quotas"),
                run_periodically(settings.rollup_interval_s, rollup.run, name="rollup"),
            )
        )
        yield
