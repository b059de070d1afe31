"""WebSocket connections as gateways report them."""

import asyncio
import time
from uuid import uuid4

from artcafe_common.bus.caller import CallerContext
from artcafe_common.clock import new_id
from artcafe_common.contracts.presence import (
    ClientHealth,
    ClosedSocket,
    Heartbeat,
    HeartbeatsReceived,
    ListOnlineClients,
    Transport,
)
from support.harness.presence import OFFLINE, ONLINE, SERVER, TIMEOUT_S
from support.waiting import eventually


async def test_connection_makes_a_client_online_and_its_end_offline(presence):
    tenant, client = new_id(), new_id()
    assert (await presence.presence(tenant, client)).last_seen is None
    connection = await presence.open(tenant, client)
    await presence.wait_for_history(client, ONLINE)
    state = await presence.presence(tenant, client)
    assert (state.online, state.health) == (True, ClientHealth.HEALTHY)
    assert [(c.connection_id, c.transport, c.server, c.ip) for c in state.connections] == [
        (connection, Transport.WEBSOCKET, SERVER, "192.0.2.7")
    ]
    assert await presence.count(tenant) == 1

    async def row():
        return await presence.rows.get(connection)

    stored = await eventually(row)
    assert (stored.tenant_id, stored.client_id, stored.server) == (tenant, client, SERVER)
    assert stored.expires_at > time.time() + 23 * 3600

    await presence.close(tenant, client, connection)
    await presence.wait_for_history(client, ONLINE, OFFLINE)
    assert presence.last_event(client).reason == "client_left"
    state = await presence.presence(tenant, client)
    assert (state.online, state.health, state.connections) == (False, ClientHealth.UNKNOWN, [])
    assert state.last_seen is not None
    assert await presence.count(tenant) == 0

    async def gone():
        return await presence.rows.get(connection) is None

    await eventually(gone)


async def test_client_stays_online_until_its_last_connection_ends(presence):
    tenant, client = new_id(), new_id()
    first, second = await presence.open(tenant, client), await presence.open(tenant, client)

    async def both():
        return await presence.count(tenant) == 2

    await eventually(both)
    await presence.close(tenant, client, first)
    await presence.wait_until_applied()
    assert presence.history(client) == [ONLINE]
    await presence.close(tenant, client, second)
    await presence.wait_for_history(client, ONLINE, OFFLINE)


async def test_missing_heartbeats_make_offline_and_a_heartbeat_online_again(presence):
    tenant, client = new_id(), new_id()
    connection = await presence.open(tenant, client)
    await presence.wait_for_history(client, ONLINE)
    started_at = time.monotonic()
    while time.monotonic() - started_at < TIMEOUT_S + 0.5:
        await presence.heartbeat(tenant, client, connection, status="degraded", metrics={"load": 0.5})
        await asyncio.sleep(0.25)
    state = await presence.presence(tenant, client)
    assert (state.health, state.metrics) == (ClientHealth.DEGRADED, {"load": 0.5})
    last_heartbeat_at = time.monotonic()
    await presence.wait_for_history(client, ONLINE, OFFLINE, within=TIMEOUT_S + 3)
    assert TIMEOUT_S - 0.5 < time.monotonic() - last_heartbeat_at < TIMEOUT_S + 2
    assert (await presence.presence(tenant, client)).health is ClientHealth.UNHEALTHY
    assert presence.last_event(client).reason == "heartbeat_timeout"
    # Only the gateway was unreachable; the socket is still open.
    await presence.heartbeat(tenant, client, connection)
    await presence.wait_for_history(client, ONLINE, OFFLINE, ONLINE)
    await presence.close(tenant, client, connection)
    await presence.wait_for_history(client, ONLINE, OFFLINE, ONLINE, OFFLINE)


async def test_events_out_of_order_and_duplicates_are_applied_once(presence):
    tenant, client, late = new_id(), new_id(), new_id()
    await presence.close(tenant, client, late)
    await presence.wait_until_applied()
    await presence.open(tenant, client, late)
    connection = await presence.open(tenant, client)
    await presence.wait_for_history(client, ONLINE)
    await presence.open(tenant, client, connection)
    await presence.wait_until_applied()
    assert [c.connection_id for c in (await presence.presence(tenant, client)).connections] == [connection]
    await presence.close(tenant, client, connection)
    await presence.close(tenant, client, connection)
    await presence.open(tenant, client, connection)
    await presence.wait_for_history(client, ONLINE, OFFLINE)
    await presence.wait_until_applied()
    assert presence.history(client) == [ONLINE, OFFLINE]


async def test_client_that_changes_its_connection_stays_online(presence):
    tenant, client, other = new_id(), new_id(), new_id()
    first, second = await presence.open(tenant, client), new_id()
    await presence.wait_for_history(client, ONLINE)
    closed = ClosedSocket(connection_id=first, tenant_id=tenant, reason="client_left")
    await presence.change(
        opened=[presence.opened(tenant, client, second), presence.opened(tenant, other)], closed=[closed]
    )
    await presence.wait_for_history(other, ONLINE)
    assert [c.connection_id for c in (await presence.presence(tenant, client)).connections] == [second]
    assert presence.history(client) == [ONLINE]
    caller = CallerContext(request_id="test", tenant_id=tenant)
    listed = await presence.bus.call(ListOnlineClients(), caller=caller)
    assert listed.complete
    assert {each.client_id for each in listed.clients} == {client, other}
    nobody = await presence.bus.call(
        ListOnlineClients(), caller=CallerContext(request_id="test", tenant_id=new_id())
    )
    assert (nobody.complete, nobody.clients) == (True, [])
    # Left open, they would expire during another test.
    remaining = (await presence.presence(tenant, other)).connections
    await presence.close(tenant, client, second)
    await presence.close(tenant, other, remaining[0].connection_id)
    await presence.wait_for_history(client, ONLINE, OFFLINE)
    await presence.wait_for_history(other, ONLINE, OFFLINE)


async def test_short_connection_emits_online_then_offline(presence):
    """Both events arrive together and are applied concurrently, but in order for each connection."""
    tenant, clients = new_id(), [new_id() for _ in range(200)]

    async def connect_briefly(client):
        connection = await presence.open(tenant, client)
        await presence.close(tenant, client, connection)

    await asyncio.gather(*map(connect_briefly, clients))
    for client in clients:
        await presence.wait_for_history(client, ONLINE, OFFLINE, within=10)
        assert presence.last_event(client).ip == "192.0.2.7"


async def test_tenant_sees_only_its_own_clients(presence):
    mine, theirs, client, unknown = new_id(), new_id(), new_id(), new_id()
    connection = await presence.open(mine, client)
    await presence.wait_for_history(client, ONLINE)
    state = await presence.presence(theirs, client, unknown)
    assert [(c.client_id, c.online, c.health, c.last_seen) for c in state] == [
        (client, False, ClientHealth.UNKNOWN, None),
        (unknown, False, ClientHealth.UNKNOWN, None),
    ]
    assert (await presence.presence(theirs, client)).connections == []
    assert await presence.count(theirs) == 0
    many = await presence.presence(mine, *[new_id() for _ in range(199)], client)
    assert [c.online for c in many] == [False] * 199 + [True]
    assert many[-1].connections == []
    # A heartbeat for another client's connection is ignored, even if a gateway sends it.
    await presence.heartbeat(theirs, client, connection, metadata={"forged": True})
    await presence.heartbeat(mine, unknown, connection)
    await presence.heartbeat(mine, client, connection, metrics={"last": 1})

    async def last_heartbeat_applied():
        return (await presence.presence(mine, client)).metrics == {"last": 1}

    await eventually(last_heartbeat_applied)
    assert (await presence.presence(mine, client)).metadata is None
    assert (await presence.presence(mine, unknown)).online is False
    await presence.close(mine, client, connection)


async def test_connections_of_a_dead_gateway_process_end(presence):
    tenant, lost, unaffected = new_id(), new_id(), new_id()
    instance = uuid4().hex
    await presence.gateway_alive(instance)
    await presence.redis.zadd("presence:gateways", {instance: (time.time() + 0.5) * 1000})
    await presence.open(tenant, lost, instance=instance)
    other = await presence.open(tenant, unaffected)
    await presence.wait_for_history(unaffected, ONLINE)
    await presence.wait_for_history(lost, ONLINE, OFFLINE)
    assert presence.last_event(lost).reason == "gateway_gone"
    assert presence.history(unaffected) == [ONLINE]
    await presence.close(tenant, unaffected, other)


async def test_heartbeats_are_batched_and_not_written_to_the_table(presence):
    tenant = new_id()
    clients = {new_id(): new_id() for _ in range(100)}
    for connection, client in clients.items():
        await presence.open(tenant, client, connection)

    async def all_connected():
        return await presence.count(tenant) == len(clients)

    await eventually(all_connected)

    async def rows_written():
        return await presence.redis.xlen("presence:outbox:rows") == 0

    await eventually(rows_written, within=10)
    before = {row.connection_id: row for row in await presence.rows.scan()}
    entries = (await presence.redis.xinfo_stream("presence:outbox:rows"))["last-generated-id"]
    heartbeats = [
        Heartbeat(connection_id=connection, tenant_id=tenant, client_id=client, status="healthy")
        for connection, client in clients.items()
    ]
    calls = (await presence.redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    for _ in range(10):
        await presence.bus.notify(HeartbeatsReceived(server_id=SERVER, heartbeats=heartbeats))
    connection, client = list(clients.items())[-1]
    await presence.heartbeat(tenant, client, connection, metrics={"last": 1})

    async def last_heartbeat_applied():
        return (await presence.presence(tenant, client)).metrics == {"last": 1}

    await eventually(last_heartbeat_applied)
    assert (await presence.redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - calls < 60
    after = {row.connection_id: row for row in await presence.rows.scan()}
    assert {c: after[c] for c in clients} == {c: before[c] for c in clients}
    assert (await presence.redis.xinfo_stream("presence:outbox:rows"))["last-generated-id"] == entries
    await asyncio.gather(*(presence.close(tenant, client, c) for c, client in clients.items()))
