"""Clients that connect to the broker directly."""

import asyncio
import json
import time

from artcafe_common.clock import new_id
from artcafe_common.contracts.presence import ClientHealth, Transport
from artcafe_presence.app import app
from support.harness.presence import OFFLINE, ONLINE, TIMEOUT_S
from support.waiting import eventually, holds


async def test_nats_client_without_heartbeats_is_online_while_connected(presence):
    tenant, client = await presence.accounts.create(), new_id()
    async with presence.nats_client(tenant, client) as nc:
        await presence.wait_for_history(client, ONLINE)
        await holds(lambda: presence.history(client) == [ONLINE], for_s=TIMEOUT_S + 0.5)
        state = await presence.presence(tenant.tenant_id, client)
        assert (state.online, state.health) == (True, ClientHealth.UNKNOWN)
        assert [(c.transport, c.server) for c in state.connections] == [(Transport.NATS, "nats-1")]
        assert state.connections[0].ip == nc._server_info["client_ip"]
    await presence.wait_for_history(client, ONLINE, OFFLINE, within=1)
    assert presence.last_event(client).account == tenant.account.public


async def test_nats_client_with_heartbeats_times_out_and_comes_back(presence):
    tenant, client = await presence.accounts.create(), new_id()
    received = []

    async def record(message):
        received.append((message.subject, json.loads(message.data)["status"]))

    async with presence.nats_client(tenant, new_id()) as watcher, presence.nats_client(tenant, client) as nc:
        await watcher.subscribe(f"tenant.{tenant.tenant_id}.presence.{client}", cb=record)
        await watcher.flush()
        await presence.wait_for_history(client, ONLINE)
        await nc.publish(f"_heartbeat.{tenant.tenant_id}.{client}", b'{"ts": 1, "v": "1"}')

        async def healthy():
            return (await presence.presence(tenant.tenant_id, client)).health is ClientHealth.HEALTHY

        await eventually(healthy)
        await presence.wait_for_history(client, ONLINE, OFFLINE, within=TIMEOUT_S + 2)
        assert (await presence.presence(tenant.tenant_id, client)).connections == []
        # The sweep finds its connection at the broker and does not make it online again.
        await holds(lambda: presence.history(client) == [ONLINE, OFFLINE], for_s=1.2)
        full = {"status": "healthy", "metrics": {"cpu": 3}, "metadata": {"version": "2"}}
        await nc.publish(f"_HEARTBEAT.tenant.{tenant.tenant_id}.client.{client}", json.dumps(full).encode())
        await presence.wait_for_history(client, ONLINE, OFFLINE, ONLINE)
        state = await presence.presence(tenant.tenant_id, client)
        assert (state.metrics, state.metadata) == ({"cpu": 3}, {"version": "2"})
        await nc.publish(f"_METRICS.tenant.{tenant.tenant_id}.client.{client}", b'{"cpu": 4}')
        goodbye = {"type": "disconnect", "metadata": {"why": "deploy"}}
        await nc.publish(f"_PRESENCE.tenant.{tenant.tenant_id}.client.{client}", json.dumps(goodbye).encode())
        await presence.wait_for_history(client, ONLINE, OFFLINE, ONLINE, OFFLINE)
        state = await presence.presence(tenant.tenant_id, client)
        # The client's own report of its traffic does not replace the heartbeat's metrics.
        assert (state.metrics, state.traffic) == ({"cpu": 3}, {"cpu": 4})
        assert state.metadata == {"why": "deploy"}
        await nc.publish(f"_PRESENCE.tenant.{tenant.tenant_id}.client.{client}", b'{"type": "connect"}')
        await presence.wait_for_history(client, ONLINE, OFFLINE, ONLINE, OFFLINE, ONLINE)
    await presence.wait_for_history(client, ONLINE, OFFLINE, ONLINE, OFFLINE, ONLINE, OFFLINE)
    subject = f"tenant.{tenant.tenant_id}.presence.{client}"
    assert (subject, "offline") in received
    assert all(each[0] == subject for each in received)


async def test_heartbeat_for_another_client_is_ignored(presence):
    tenant, honest, forger = await presence.accounts.create(), new_id(), new_id()
    async with presence.nats_client(tenant, honest) as nc, presence.nats_client(tenant, forger) as other:
        await presence.wait_for_history(honest, ONLINE)
        await nc.publish(f"_heartbeat.{tenant.tenant_id}.{honest}", b"{}")
        ends = time.monotonic() + TIMEOUT_S + 1.5
        while time.monotonic() < ends:
            await other.publish(f"_heartbeat.{tenant.tenant_id}.{honest}", b"{}")
            await other.publish(f"_METRICS.tenant.{tenant.tenant_id}.client.{honest}", b'{"forged": 1}')
            await asyncio.sleep(0.2)
        assert presence.history(honest) == [ONLINE, OFFLINE]
        assert (await presence.presence(tenant.tenant_id, honest)).traffic is None
        assert presence.history(forger) == [ONLINE]


async def test_client_that_reconnects_before_it_leaves_stays_online(presence):
    tenant, client = await presence.accounts.create(), new_id()
    async with app(presence.settings(server_id="presence-2")):
        _, nc = await presence.accounts.connect_client(tenant, client)
        await presence.wait_for_history(client, ONLINE)
        for _ in range(40):
            _, following = await presence.accounts.connect_client(tenant, client)
            await nc.close()
            nc = following
        await holds(lambda: presence.history(client) == [ONLINE], for_s=0.5)
        await nc.close()
        await presence.wait_for_history(client, ONLINE, OFFLINE, within=1)


async def test_user_with_the_tenants_own_key_is_not_the_client_it_names(presence):
    tenant, victim = await presence.accounts.create(), new_id()
    posing = await presence.accounts.connect_user(tenant, tenant.own_key, user=victim)

    async def counted(count):
        return await presence.count(tenant.tenant_id) == count

    try:
        await posing.publish(f"_heartbeat.{tenant.tenant_id}.{victim}", b"{}")
        await posing.publish(f"_METRICS.tenant.{tenant.tenant_id}.client.{victim}", b'{"forged": 1}')
        await posing.flush()
        # It counts for the plan, but is no client.
        await eventually(lambda: counted(1))
        # Longer than the sweep, which reads the broker's list.
        await holds(lambda: presence.history(victim) == [], for_s=1.5)
        state = await presence.presence(tenant.tenant_id, victim)
        assert (state.online, state.last_seen, state.metrics) == (False, None, None)
    finally:
        await posing.close()
    await eventually(lambda: counted(0))


async def test_bridge_connection_is_not_a_client(presence):
    tenant = await presence.accounts.create()
    bridge = await presence.accounts.connect_user(tenant, tenant.platform_key)
    try:
        await bridge.publish(f"_heartbeat.{tenant.tenant_id}.bridge", b"{}")

        async def not_counted():
            return await presence.count(tenant.tenant_id) == 0

        await holds(not_counted)
    finally:
        await bridge.close()
