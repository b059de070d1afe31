"""A flood of JetStream API calls ends its connections, and no others."""

import asyncio

from support.harness.metering import publish
from support.waiting import eventually, holds


async def flood(nc, calls_per_second=2_000, seconds=10):
    """Call the API without waiting for its answers, until the connection ends."""
    for _ in range(seconds * 20):
        if not nc.is_connected:
            return
        for _ in range(calls_per_second // 20):
            await nc.publish("$JS.API.INFO", b"", reply="_INBOX.flood")
        await asyncio.sleep(0.05)


async def test_connection_that_floods_the_api_is_ended(metering):
    org, bystander = await metering.create_organization(), await metering.create_organization()
    _, flooding = await metering.connect_client(org)
    _, quiet = await metering.connect_client(org)
    own_user = await metering.connect_user(org, org.own_key)
    _, other = await metering.connect_client(bystander)
    connections = {"flooding": flooding, "quiet": quiet, "other": other}

    def reconnects():
        return {name: nc.stats["reconnects"] for name, nc in connections.items()}

    task = asyncio.create_task(flood(flooding))
    await eventually(lambda: reconnects()["flooding"] > 0 or not flooding.is_connected, within=5)
    task.cancel()
    await eventually(lambda: flooding.is_connected, within=5)
    assert reconnects() == {"flooding": 1, "quiet": 0, "other": 0}
    await own_user.close()


async def test_many_messages_are_no_flood_of_the_api(metering):
    org = await metering.create_organization()
    _, nc = await metering.connect_client(org)

    async def publishes():
        await publish(nc, 500)
        return nc.stats["reconnects"] == 0

    await holds(publishes, for_s=3)
    await nc.close()
