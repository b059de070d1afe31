"""The online status of clients: by connections and heartbeats, and across a restart of presence."""

import asyncio
import contextlib
import json
import time

import pytest
from websockets.exceptions import ConnectionClosed

from support.actors import User
from support.waiting import eventually

TIMEOUT_S = 3


@pytest.fixture(scope="module")
async def presence_stack(new_stack):
    """A stack with a heartbeat timeout of 3 s instead of 90 s."""
    settings = {"ARTCAFE_HEARTBEAT_INTERVAL_S": "1", "ARTCAFE_HEARTBEAT_TIMEOUT_S": str(TIMEOUT_S)}
    async with new_stack(settings) as stack:
        yield stack


@pytest.fixture
async def org(presence_stack):
    return await (await User.sign_up(presence_stack)).create_organization()


async def get_status(org, client):
    return await org.call("GET", f"/clients/{client.id}/status", 200)


async def test_client_without_heartbeats_is_offline_after_the_timeout(org):
    silent_client, active_client = await org.create_client(), await org.create_client()
    dashboard = await org.connect_dashboard()
    silent, active = await silent_client.connect_websocket(), await active_client.connect_websocket()

    async def send_heartbeats():
        while True:
            await active.send_and_receive("heartbeat", "heartbeat_ack", metrics={"cpu": 0.5})
            await asyncio.sleep(0.5)

    heartbeats = asyncio.create_task(send_heartbeats())
    await dashboard.receive("presence", client_id=silent_client.id, status="online")
    await dashboard.receive("presence", client_id=active_client.id, status="online")
    began = time.monotonic()
    await silent.send(type="heartbeat")
    event = await dashboard.receive("presence", client_id=silent_client.id, within=TIMEOUT_S + 6)
    elapsed = time.monotonic() - began
    print(f"\noffline {elapsed:.2f} s after the last heartbeat; timeout {TIMEOUT_S} s")
    assert event["status"] == "offline"
    assert TIMEOUT_S - 0.2 <= elapsed <= TIMEOUT_S + 5
    assert await silent.wait_closed() == (4408, "heartbeat_timeout")
    assert (await get_status(org, silent_client))["status"] == "offline"
    status = await get_status(org, active_client)
    assert (status["status"], status["health"]) == ("online", "healthy")
    assert status["metrics"] == {"cpu": 0.5}
    assert dashboard.pending("presence") == []
    heartbeats.cancel()


async def test_client_is_offline_when_its_last_connection_breaks(org):
    client = await org.create_client()
    dashboard = await org.connect_dashboard()
    first, second = await client.connect_websocket(), await client.connect_websocket()
    await dashboard.receive("presence", client_id=client.id, status="online")
    first.ws.transport.abort()
    await dashboard.assert_no_frame("presence", for_s=1)
    assert len((await get_status(org, client))["connections"]) == 1
    began = time.monotonic()
    second.ws.transport.abort()
    await dashboard.receive("presence", client_id=client.id, status="offline")
    assert time.monotonic() - began < 1

    async def listed_as_offline():
        page = await org.call("GET", "/clients?status=offline", 200)
        return client.id in {each["client_id"] for each in page["clients"]}

    await eventually(listed_as_offline)


async def test_direct_nats_client_times_out_only_after_its_first_heartbeat(org):
    client = await org.create_client()
    dashboard = await org.connect_dashboard()
    nc = await client.connect_nats()
    await dashboard.receive("presence", client_id=client.id, status="online")
    assert (await get_status(org, client))["health"] == "unknown"
    # Without a heartbeat the connection alone keeps the client online.
    await asyncio.sleep(TIMEOUT_S + 2)
    assert (await get_status(org, client))["status"] == "online"
    report = {"status": "healthy", "metrics": {"queue": 3}, "metadata": {"version": "2"}}
    await nc.publish(f"_HEARTBEAT.tenant.{org.id}.client.{client.id}", json.dumps(report).encode())

    async def healthy_status():
        status = await get_status(org, client)
        return status if status["health"] == "healthy" else None

    status = await eventually(healthy_status)
    assert status["metrics"] == {"queue": 3}
    await nc.publish(f"_METRICS.tenant.{org.id}.client.{client.id}", b'{"messages_sent": 7}')

    async def traffic_shown():
        status = await get_status(org, client)
        return status if status["traffic"] else None

    status = await eventually(traffic_shown)
    assert (status["metrics"], status["traffic"]) == ({"queue": 3}, {"messages_sent": 7})
    event = await dashboard.receive("presence", client_id=client.id, within=TIMEOUT_S + 6)
    assert event["status"] == "offline"
    await nc.publish(f"_heartbeat.{org.id}.{client.id}", b'{"ts":1,"v":"1.0"}')
    assert (await dashboard.receive("presence", client_id=client.id))["status"] == "online"
    await nc.close()
    assert (await dashboard.receive("presence", client_id=client.id))["status"] == "offline"


async def test_client_cannot_send_heartbeats_for_another_client(org):
    client, sibling = await org.create_client(), await org.create_client()
    dashboard = await org.connect_dashboard()
    nc = await client.connect_nats()
    forger = await sibling.connect_nats()
    await dashboard.receive("presence", client_id=client.id, status="online")
    await nc.publish(f"_heartbeat.{org.id}.{client.id}", b"{}")

    async def send_forged_heartbeats():
        while True:
            await forger.publish(f"_heartbeat.{org.id}.{client.id}", b"{}")
            await forger.flush()
            await asyncio.sleep(0.3)

    forged_heartbeats = asyncio.create_task(send_forged_heartbeats())
    event = await dashboard.receive("presence", client_id=client.id, within=TIMEOUT_S + 6)
    assert event["status"] == "offline"
    forged_heartbeats.cancel()
    # Nor can it publish presence events.
    errors = []

    async def record_error(error):
        errors.append(str(error))

    forger = await sibling.connect_nats(error_cb=record_error)
    await forger.publish(f"tenant.{org.id}.presence.{client.id}", b'{"client_id":"x","status":"online"}')
    await forger.flush()
    await eventually(lambda: errors)


async def test_restart_of_presence_changes_no_status(presence_stack, org):
    clients = [await org.create_client() for _ in range(4)]
    dashboard = await org.connect_dashboard()
    sockets = [await client.connect_websocket() for client in clients[:2]]
    direct = [await client.connect_nats() for client in clients[2:]]
    for client in clients:
        await dashboard.receive("presence", client_id=client.id, status="online")

    async def send_heartbeats():
        while True:
            for socket in [socket for socket in sockets if not socket.closed]:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(type="heartbeat")
            await direct[0].publish(f"_heartbeat.{org.id}.{clients[2].id}", b"{}")
            await asyncio.sleep(0.5)

    heartbeats = asyncio.create_task(send_heartbeats())
    # At least one heartbeat of each client before presence stops.
    await asyncio.sleep(1)
    # All heartbeat deadlines pass while presence is stopped.
    await presence_stack.supervisor.stop("presence")
    await asyncio.sleep(TIMEOUT_S + 1)
    presence_stack.start("presence")

    async def is_available():
        return (await org.http.get(f"/clients/{clients[0].id}/status")).status_code == 200

    await eventually(is_available, within=20)
    # Long enough for a wrong timeout.
    await asyncio.sleep(TIMEOUT_S + 2)
    assert dashboard.pending("presence") == []
    for client in clients:
        assert (await get_status(org, client))["status"] == "online"
    # Clients that disconnect while presence is stopped are reported afterwards.
    await presence_stack.supervisor.stop("presence")
    await direct[1].close()
    await sockets[1].close()
    presence_stack.start("presence")
    offline = {(await dashboard.receive("presence", within=25))["client_id"] for _ in range(2)}
    assert offline == {clients[1].id, clients[3].id}
    heartbeats.cancel()
