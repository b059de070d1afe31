"""Restarts and outages of the service, Redis and the broker."""

import asyncio
import shutil

import nats

from artcafe_common.backup.redis_snapshot import restore_files, save_snapshot
from artcafe_common.clock import now
from artcafe_common.contracts.metering import GetCurrentUsage, GetUsageMetrics, UsageEntry
from artcafe_common.dev.stack import REGION
from artcafe_common.plans import Plan
from artcafe_common.storage.dynamo import Database
from artcafe_metering.archive import UsageArchive
from support.harness.metering import publish, send_heartbeats
from support.waiting import eventually


async def test_counts_are_exact_over_restarts(harness):
    org = await harness.create_organization()
    client_id, nc = await harness.connect_client(org)
    _, gone = await harness.connect_client(org)
    async with harness.running():
        await publish(nc, 100)
        await publish(gone, 30)
        await send_heartbeats(nc, org, client_id, 3)
        await harness.wait_for_counts(org, messages=130)
    await publish(nc, 50)
    await publish(gone, 20)
    await send_heartbeats(nc, org, client_id, 4)
    await gone.close()
    async with harness.running():
        await harness.wait_for_final_counts(org, messages=200, bytes_in=2000)
        await nc.close()
        await harness.wait_for_final_counts(org, messages=200)
    async with harness.running():
        await harness.wait_for_final_counts(org, messages=200)


async def test_lost_counters_are_recovered_from_the_daily_totals(harness):
    """Redis comes back empty: nothing is counted twice, though the broker's totals of a connection are absolute."""
    org, other = [await harness.create_organization() for _ in range(2)]
    _, nc = await harness.connect_client(org)
    async with harness.running():
        await publish(nc, 70)
        await harness.publish_usage(UsageEntry(tenant_id=org.tenant_id, messages=30, bytes_in=300))
        await harness.wait_for_counts(org, messages=100)
        await wait_until_archived(harness, org, messages=100)
        await lose_redis(harness)
        await harness.wait_for_counts(org, restarting=True, messages=100, bytes_in=1000)
        # What is not counted yet goes on.
        await publish(nc, 5)
        await harness.publish_usage(UsageEntry(tenant_id=org.tenant_id, messages=10, bytes_in=100))
        await wait_for_steady_counts(harness, org, messages=115)
        month = await harness.call(org, GetCurrentUsage(plan=Plan.FREE))
        assert month.messages.used == 115
        assert (await harness.call(org, GetUsageMetrics(plan=Plan.FREE))).totals.messages == 115
        await wait_for_steady_counts(harness, other, messages=0)
        await nc.close()
        await wait_for_steady_counts(harness, org, messages=115)


async def test_counters_of_a_backup_are_raised_to_the_daily_totals(harness):
    """Redis comes back as of a backup: the month's count is not lower than before."""
    org = await harness.create_organization()
    _, nc = await harness.connect_client(org)
    async with harness.running():
        await publish(nc, 20)
        await harness.wait_for_counts(org, messages=20)
        backup = await copy_redis(harness)
        await publish(nc, 40)
        await harness.publish_usage(UsageEntry(tenant_id=org.tenant_id, messages=30, bytes_in=300))
        await harness.wait_for_counts(org, messages=90)
        await wait_until_archived(harness, org, messages=90)
        await lose_redis(harness, backup)
        await harness.wait_for_counts(org, restarting=True, messages=90)
        await publish(nc, 5)
        await wait_for_steady_counts(harness, org, messages=95)
    await nc.close()


async def wait_for_steady_counts(harness, organization, **expected):
    """Wait for the counters, and that they stay; connections to the Redis of before may still fail."""
    for _ in range(3):
        await harness.wait_for_counts(organization, restarting=True, **expected)
        await asyncio.sleep(0.3)


async def wait_until_archived(harness, organization, *, messages):
    async with Database(region=REGION, prefix="artcafe-") as database:
        archive, today = UsageArchive(database), now().date()

        async def is_archived():
            days = await archive.list_days(organization.tenant_id, today, today)
            return [day.messages for day in days] == [messages]

        await eventually(is_archived)


async def copy_redis(harness):
    """A snapshot of Redis as a backup has it."""
    path = harness.stack.directory / "backup.rdb"
    await save_snapshot(harness.redis_url, path)
    return path


async def lose_redis(harness, backup=None):
    """Destroy Redis; it comes back empty or as of a backup."""
    await harness.stack.supervisor.stop("redis")
    data = harness.stack.directory / "data/redis"
    shutil.rmtree(data)
    data.mkdir()
    if backup is not None:
        await restore_files(backup, data, harness.redis_url, replace=False)
    harness.stack.start("redis")


async def test_counts_are_exact_over_repeated_kills(harness):
    org = await harness.create_organization()
    client_id, nc = await harness.connect_client(org)
    harness.stack.settings |= {"ARTCAFE_POLL_INTERVAL_S": "0.05", "ARTCAFE_CLOSED_INTERVAL_S": "0.5"}
    harness.stack.start("metering")
    try:
        for _ in range(2):
            await harness.wait_for_counts(org, restarting=True)
            for _ in range(5):
                await publish(nc, 40)
                await send_heartbeats(nc, org, client_id, 3)
                entry = UsageEntry(tenant_id=org.tenant_id, messages=10, bytes_in=100)
                await harness.publish_usage(entry)
                # Spread over several polls of the broker.
                await asyncio.sleep(0.03)
            harness.stack.supervisor.kill("metering")
        await nc.close()
        await harness.wait_for_counts(org, restarting=True, messages=500, bytes_in=5000, within=15)
        await harness.wait_for_final_counts(org, messages=500, bytes_in=5000)
    finally:
        await harness.stack.supervisor.stop("metering")


async def test_counts_are_exact_over_a_redis_outage(metering):
    org = await metering.create_organization()
    client_id, nc = await metering.connect_client(org)
    # The counters must be on disk when Redis is killed.
    await metering.redis.config_set("appendfsync", "always")
    await publish(nc, 40)
    await metering.wait_for_counts(org, messages=40)
    metering.stack.supervisor.kill("redis")
    await publish(nc, 60)
    await send_heartbeats(nc, org, client_id, 5)
    entry = UsageEntry(tenant_id=org.tenant_id, messages=7)
    await metering.publish_usage(entry)
    await nc.close()
    await metering.stack.wait_for_servers()

    await metering.wait_for_counts(org, restarting=True, messages=107, within=15)
    await metering.wait_for_final_counts(org, messages=107, bytes_in=1000)


async def test_counts_are_exact_over_a_broker_outage(metering):
    org = await metering.create_organization()
    client_id, nc = await metering.connect_client(org)
    await publish(nc, 10)
    await send_heartbeats(nc, org, client_id, 2)
    await metering.wait_for_counts(org, messages=10)
    await nc.close()
    await metering.wait_for_final_counts(org, messages=10)
    supervisor = metering.stack.supervisor
    pid = supervisor.pid("nats")
    supervisor.kill("nats")
    await eventually(lambda: supervisor.pid("nats") not in (None, pid))

    async def reconnect():
        try:
            async with asyncio.timeout(3):
                _, connection = await metering.connect_client(org, client_id)
        except (OSError, TimeoutError, nats.errors.Error):
            return None
        return connection

    second = await eventually(reconnect, within=10)
    await publish(second, 15)
    await send_heartbeats(second, org, client_id, 3)

    await metering.wait_for_counts(org, restarting=True, messages=25, within=10)
    await metering.wait_for_final_counts(org, messages=25, bytes_in=250)
    await second.close()
