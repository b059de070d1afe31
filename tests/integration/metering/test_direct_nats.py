"""Messages of clients that connect to the broker directly."""

import asyncio

from artcafe_common.contracts.metering import (
    GetLiveUsage,
    UsageEntry,
)
from support.harness.metering import POLL_INTERVAL_S, publish, send_heartbeats


async def test_direct_messages_are_counted_and_heartbeats_are_not(metering):
    org, bystander = await metering.create_organization(), await metering.create_organization()
    client_id, nc = await metering.connect_client(org)
    listener_id, listener = await metering.connect_client(org)
    received = []

    async def record(message):
        received.append(message.data)

    await listener.subscribe("t.>", cb=record)
    await listener.flush()
    for _ in range(10):
        await publish(nc, 100)
        await send_heartbeats(nc, org, client_id, 5)
    await listener.flush()
    # Everything is delivered before the counters are checked.
    assert len(received) == 1000
    await metering.wait_for_final_counts(
        org, messages=1000, deliveries=1000, bytes_in=10_000, bytes_out=10_000
    )
    stats = await metering.call(org, GetLiveUsage())
    by_client = {c.client_id: (c.messages, c.deliveries) for c in stats.clients}
    assert by_client[client_id] == (1000, 0)
    assert by_client.get(listener_id, (0, 1000)) == (0, 1000)
    await metering.has_counts(bystander, messages=0, deliveries=0, bytes_in=0)
    await nc.publish(f"_heartbeat.{org.tenant_id}.{client_id}", b"{}", headers={"Some": "header"})
    await nc.close()
    await listener.close()
    await metering.wait_for_final_counts(org, messages=1000, bytes_in=10_000, deliveries=1000)


async def test_user_with_the_tenants_own_key_is_counted_for_the_tenant(metering):
    org = await metering.create_organization()
    nc = await metering.connect_user(org, org.own_key)
    await publish(nc, 12)
    await metering.wait_for_counts(org, messages=12)
    assert (await metering.call(org, GetLiveUsage())).clients == []
    await nc.close()
    await metering.wait_for_final_counts(org, messages=12)


async def test_user_with_the_tenants_own_key_is_not_counted_for_the_client_it_names(metering):
    org = await metering.create_organization()
    victim, _ = await metering.connect_client(org)
    nc = await metering.connect_user(org, org.own_key, user=victim)
    await publish(nc, 12)
    await send_heartbeats(nc, org, victim, 3)
    await nc.close()
    await metering.wait_for_final_counts(org, messages=12)
    clients = (await metering.call(org, GetLiveUsage())).clients
    assert all((each.messages, each.bytes_in) == (0, 0) for each in clients)


async def test_connection_is_counted_only_after_its_owner_is_known(metering):
    org = await metering.create_organization()
    del metering.known_accounts[org.account.public]
    nc = await metering.connect_user(org, org.own_key)
    await publish(nc, 9)
    await metering.wait_for_final_counts(org, messages=0, for_s=0.4)
    metering.known_accounts[org.account.public] = org
    await metering.wait_for_counts(org, messages=9)
    await nc.close()


async def test_two_instances_count_each_message_once(harness):
    org = await harness.create_organization()
    client_id, nc = await harness.connect_client(org)
    async with harness.running(), harness.running():
        for _ in range(10):
            await publish(nc, 50)
            await send_heartbeats(nc, org, client_id, 2)
            entry = UsageEntry(tenant_id=org.tenant_id, messages=1)
            await harness.publish_usage(entry)
            await asyncio.sleep(POLL_INTERVAL_S / 2)
        await harness.wait_for_final_counts(org, messages=510, bytes_in=5000)
        await nc.close()
        await harness.wait_for_final_counts(org, messages=510)
