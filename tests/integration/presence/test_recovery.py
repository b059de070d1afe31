"""Restarts and outages of the service, Redis and the broker."""

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager

from artcafe_common.clock import new_id
from artcafe_presence.app import app
from support.harness.presence import OFFLINE, ONLINE, TIMEOUT_S
from support.waiting import eventually, holds

OUTAGE_S = 0.7
BROKER_OUTAGE_S = 0.5
# A client that connects before identity does, whose callout it needs, gets no answer, gives up and tries again. The
# defaults of nats-py (2 s each) fit into the default grace of 5 s; these fit into the harness's grace of 1.5 s.
NATS_CLIENT_OPTIONS = {"connect_timeout": 0.4, "reconnect_time_wait": 0.4, "max_reconnect_attempts": -1}


async def test_restart_keeps_statuses_and_applies_missed_events(presence):
    tenant, silent, gone, came = await presence.accounts.create(), new_id(), new_id(), new_id()
    web, left, late = new_id(), new_id(), new_id()
    web_connection = await presence.open(tenant.tenant_id, web)
    left_connection = await presence.open(tenant.tenant_id, left)
    async with AsyncExitStack() as clients:
        await clients.enter_async_context(presence.nats_client(tenant, silent))
        leaving = AsyncExitStack()
        await leaving.enter_async_context(presence.nats_client(tenant, gone))
        for each in (web, left, silent, gone):
            await presence.wait_for_history(each, ONLINE)
        await presence.stop()
        await leaving.aclose()
        await clients.enter_async_context(presence.nats_client(tenant, came))
        await presence.close(tenant.tenant_id, left, left_connection)
        late_connection = await presence.open(tenant.tenant_id, late)
        # An outage longer than the timeout; no instance received the heartbeats of this time.
        await asyncio.sleep(TIMEOUT_S + 0.3)
        await presence.start()
        await presence.gateway_alive()
        for _ in range(6):
            await presence.heartbeat(tenant.tenant_id, web, web_connection)
            await presence.heartbeat(tenant.tenant_id, late, late_connection)
            await asyncio.sleep(0.25)
        await presence.wait_for_history(gone, ONLINE, OFFLINE)
        await presence.wait_for_history(left, ONLINE, OFFLINE)
        for each in (web, silent, came, late):
            assert presence.history(each) == [ONLINE], each
    for client, connection in ((web, web_connection), (late, late_connection)):
        await presence.close(tenant.tenant_id, client, connection)
    await presence.wait_for_history(web, ONLINE, OFFLINE)


async def test_pending_event_is_published_after_a_restart(presence):
    tenant, client = new_id(), new_id()
    await presence.stop()
    transition = {
        "tenant_id": tenant,
        "client_id": client,
        "account": "A" + "X" * 55,
        "online": True,
        "last_seen": int(time.time() * 1000),
        "reason": "",
    }
    await presence.redis.xadd("presence:outbox:transitions", {"data": json.dumps(transition)})
    await presence.start()
    await presence.wait_for_history(client, ONLINE)
    assert await presence.redis.xlen("presence:outbox:transitions") == 0


async def test_two_instances_publish_each_event_once(presence):
    tenant = new_id()
    clients = {new_id(): new_id() for _ in range(40)}
    async with app(presence.settings(server_id="presence-second")):
        for connection, client in clients.items():
            await presence.open(tenant, client, connection)
        for connection, client in clients.items():
            await presence.close(tenant, client, connection)
        for client in clients.values():
            await presence.wait_for_history(client, ONLINE, OFFLINE)
        await holds(lambda: all(presence.history(each) == [ONLINE, OFFLINE] for each in clients.values()))


async def test_empty_redis_is_rebuilt_from_the_table_and_the_broker(presence):
    tenant, client, direct = await presence.accounts.create(), new_id(), new_id()
    connection = await presence.open(tenant.tenant_id, client)
    async with presence.nats_client(tenant, direct):
        await presence.wait_for_history(client, ONLINE)
        await presence.wait_for_history(direct, ONLINE)

        async def stored():
            return await presence.rows.get(connection)

        await eventually(stored)
        await presence.redis.flushall()

        async def back():
            await presence.gateway_alive()
            await presence.heartbeat(tenant.tenant_id, client, connection)
            return all(state.online for state in await presence.presence(tenant.tenant_id, client, direct))

        await eventually(back, within=5)
        await presence.close(tenant.tenant_id, client, connection)

    async def gone():
        return not any(state.online for state in await presence.presence(tenant.tenant_id, client, direct))

    await eventually(gone)


async def test_heartbeats_do_not_hold_up_the_rebuild_of_an_empty_redis(presence):
    tenant, beating, silent = await presence.accounts.create(), new_id(), new_id()
    async with (
        presence.nats_client(tenant, beating) as nc,
        presence.nats_client(tenant, silent),
        heartbeats(nc, tenant, beating),
    ):
        for each in (beating, silent):
            await presence.wait_for_history(each, ONLINE)
        await presence.redis.flushall()

        async def all_online():
            return all(state.online for state in await presence.presence(tenant.tenant_id, beating, silent))

        await eventually(all_online)

    async def gone():
        return not any(state.online for state in await presence.presence(tenant.tenant_id, beating, silent))

    await eventually(gone)


@asynccontextmanager
async def heartbeats(nc, tenant, client_id):
    """A client's heartbeats, more often than presence applies them."""

    async def send():
        while True:
            await nc.publish(f"_heartbeat.{tenant.tenant_id}.{client_id}", b"{}")
            await asyncio.sleep(0.02)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_event_during_a_redis_outage_is_applied_after_it(presence):
    tenant, client = new_id(), new_id()
    connection = await presence.open(tenant, client)
    await presence.wait_for_history(client, ONLINE)
    await presence.stack.supervisor.stop("redis")
    await presence.close(tenant, client, connection)
    await asyncio.sleep(OUTAGE_S)
    presence.stack.start("redis")
    await presence.wait_for_history(client, ONLINE, OFFLINE, within=8)
    assert (await presence.presence(tenant, client)).online is False


async def test_reconnecting_client_stays_online_over_a_broker_restart(presence):
    tenant, client, other = await presence.accounts.create(), new_id(), new_id()
    web = new_id()
    connection = await presence.open(tenant.tenant_id, web)
    leaving = AsyncExitStack()
    async with presence.nats_client(tenant, client, **NATS_CLIENT_OPTIONS):
        await leaving.enter_async_context(presence.nats_client(tenant, other, allow_reconnect=False))
        for each in (client, other, web):
            await presence.wait_for_history(each, ONLINE)
        before = (await presence.presence(tenant.tenant_id, client)).connections[0].connection_id
        await presence.stack.supervisor.stop("nats")
        await asyncio.sleep(BROKER_OUTAGE_S)
        presence.stack.start("nats")

        async def other_left():
            # As the gateway does, once it is connected again.
            await presence.gateway_alive()
            await presence.heartbeat(tenant.tenant_id, web, connection)
            return presence.history(other) == [ONLINE, OFFLINE]

        await eventually(other_left, within=10)

        async def moved():
            connections = (await presence.presence(tenant.tenant_id, client)).connections
            return [c.connection_id for c in connections] != [before] and len(connections) == 1

        await eventually(moved, within=5)
        assert presence.history(client) == [ONLINE]
        assert presence.history(web) == [ONLINE]
    await leaving.aclose()
    await presence.close(tenant.tenant_id, web, connection)
    await presence.wait_for_history(web, ONLINE, OFFLINE)
