"""Restarts and outages of the service, Redis and the broker."""

import asyncio

import nats

from artcafe_common.contracts.metering import (
    UsageEntry,
)
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
