"""Who is online: by heartbeats, by connections, and through a restart of presence."""

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
async def quick(new_stack):
    """A stack whose heartbeat timeout is 3 s instead of 90 s."""
    settings = {"ARTCAFE_HEARTBEAT_INTERVAL_S": "1", "ARTCAFE_HEARTBEAT_TIMEOUT_S": str(TIMEOUT_S)}
    async with new_stack(settings) as running:
        yield running


@pytest.fixture
async def org(quick):
    return await (await User.sign_up(quick)).create_organization()


async def state(org, agent):
    return await org.call("GET", f"/clients/{agent.id}/status", 200)


async def test_silence_is_offline_at_the_deadline(org):
    agent, steady = await org.create_client(), await org.create_client()
    board = await org.connect_dashboard()
    silent, beating = await agent.connect_websocket(), await steady.connect_websocket()

    async def beat():
        while True:
            await beating.send_and_receive("heartbeat", "heartbeat_ack", metrics={"cpu": 0.5})
            await asyncio.sleep(0.5)

    beats = asyncio.create_task(beat())
    await board.receive("presence", client_id=agent.id, status="online")
    await board.receive("presence", client_id=steady.id, status="online")
    began = time.monotonic()
    await silent.send(type="heartbeat")
    notice = await board.receive("presence", client_id=agent.id, within=TIMEOUT_S + 6)
    took = time.monotonic() - began
    print(f"\noffline {took:.2f} s after the last heartbeat; timeout {TIMEOUT_S} s")
    assert notice["status"] == "offline"
    assert TIMEOUT_S - 0.2 <= took <= TIMEOUT_S + 5
    assert await silent.wait_closed() == (4408, "heartbeat_timeout")
    assert (await state(org, agent))["status"] == "offline"
    lively = await state(org, steady)
    assert (lively["status"], lively["health"]) == ("online", "healthy")
    assert lively["metrics"] == {"cpu": 0.5}
    assert board.pending("presence") == []
    beats.cancel()


async def test_a_broken_socket_is_offline_at_once_and_another_connection_keeps_it_online(org):
    agent = await org.create_client()
    board = await org.connect_dashboard()
    first, second = await agent.connect_websocket(), await agent.connect_websocket()
    await board.receive("presence", client_id=agent.id, status="online")
    first.ws.transport.abort()
    await board.assert_no_frame("presence", for_s=1)
    assert len((await state(org, agent))["connections"]) == 1
    began = time.monotonic()
    second.ws.transport.abort()
    await board.receive("presence", client_id=agent.id, status="offline")
    assert time.monotonic() - began < 1

    async def listed():
        page = await org.call("GET", "/clients?status=offline", 200)
        return agent.id in {client["client_id"] for client in page["clients"]}

    await eventually(listed)


async def test_direct_nats_is_seen_without_a_heartbeat_and_watched_with_one(org):
    agent = await org.create_client()
    board = await org.connect_dashboard()
    nc = await agent.connect_nats()
    await board.receive("presence", client_id=agent.id, status="online")
    assert (await state(org, agent))["health"] == "unknown"
    await asyncio.sleep(TIMEOUT_S + 2)
    assert (await state(org, agent))["status"] == "online"
    report = {"status": "healthy", "metrics": {"queue": 3}, "metadata": {"version": "2"}}
    await nc.publish(f"_HEARTBEAT.tenant.{org.id}.client.{agent.id}", json.dumps(report).encode())

    async def healthy():
        now = await state(org, agent)
        return now if now["health"] == "healthy" else None

    shown = await eventually(healthy)
    assert shown["metrics"] == {"queue": 3}
    assert (await board.receive("presence", client_id=agent.id, within=TIMEOUT_S + 6))["status"] == "offline"
    await nc.publish(f"_heartbeat.{org.id}.{agent.id}", b'{"ts":1,"v":"1.0"}')
    assert (await board.receive("presence", client_id=agent.id))["status"] == "online"
    await nc.close()
    assert (await board.receive("presence", client_id=agent.id))["status"] == "offline"


async def test_nobody_sends_heartbeats_for_another(org):
    agent, sibling = await org.create_client(), await org.create_client()
    board = await org.connect_dashboard()
    nc = await agent.connect_nats()
    forger = await sibling.connect_nats()
    await board.receive("presence", client_id=agent.id, status="online")
    await nc.publish(f"_heartbeat.{org.id}.{agent.id}", b"{}")

    async def forge():
        while True:
            await forger.publish(f"_heartbeat.{org.id}.{agent.id}", b"{}")
            await forger.flush()
            await asyncio.sleep(0.3)

    forging = asyncio.create_task(forge())
    notice = await board.receive("presence", client_id=agent.id, within=TIMEOUT_S + 6)
    assert notice["status"] == "offline"
    forging.cancel()
    # Nor can a client announce another's presence to the tenant.
    refused = []

    async def note(error):
        refused.append(str(error))

    liar = await sibling.connect_nats(error_cb=note)
    await liar.publish(f"tenant.{org.id}.presence.{agent.id}", b'{"client_id":"x","status":"online"}')
    await liar.flush()
    await eventually(lambda: refused)


async def test_restarting_presence_changes_nobodys_status(quick, org):
    agents = [await org.create_client() for _ in range(4)]
    board = await org.connect_dashboard()
    sockets = [await agent.connect_websocket() for agent in agents[:2]]
    direct = [await agent.connect_nats() for agent in agents[2:]]
    for agent in agents:
        await board.receive("presence", client_id=agent.id, status="online")

    async def beat():
        while True:
            for socket in [socket for socket in sockets if not socket.closed]:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(type="heartbeat")
            await direct[0].publish(f"_heartbeat.{org.id}.{agents[2].id}", b"{}")
            await asyncio.sleep(0.5)

    beats = asyncio.create_task(beat())
    await asyncio.sleep(1)
    # Away for longer than the timeout, so that every deadline passes unseen.
    await quick.supervisor.stop("presence")
    await asyncio.sleep(TIMEOUT_S + 1)
    quick.start("presence")

    async def answers():
        return (await org.http.get(f"/clients/{agents[0].id}/status")).status_code == 200

    await eventually(answers, within=20)
    await asyncio.sleep(TIMEOUT_S + 2)
    assert board.pending("presence") == []
    for agent in agents:
        assert (await state(org, agent))["status"] == "online"
    # Who left while nobody watched is found out afterwards.
    await quick.supervisor.stop("presence")
    await direct[1].close()
    await sockets[1].close()
    quick.start("presence")
    gone = {(await board.receive("presence", within=25))["client_id"] for _ in range(2)}
    assert gone == {agents[1].id, agents[3].id}
    beats.cancel()
