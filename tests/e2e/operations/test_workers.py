"""Several gateway processes on one port, and one organization that floods beside a quiet one."""

import asyncio
import time

import psutil
import pytest

from support.actors import User
from support.waiting import eventually


@pytest.fixture(scope="module")
async def wide(new_stack):
    """Two gateway workers, and a low rate for each organization."""
    settings = {"ARTCAFE_GATEWAY_WORKERS": "2", "ARTCAFE_PUBLISH_RATE": "500", "ARTCAFE_PING_INTERVAL_S": "1"}
    async with new_stack(settings) as running:
        yield running


async def test_sockets_of_every_worker_meet(wide):
    tenant = await (await User.sign_up(wide)).create_organization()
    agent = await tenant.create_client()
    # So many that the kernel cannot have given all of them to one process.
    sockets = [await agent.connect_websocket() for _ in range(12)]
    for socket in sockets:
        await socket.subscribe(subject="all")
    for number, socket in enumerate(sockets):
        await socket.send_and_receive("publish", "published", subject="all", data=number, id=number)
    for socket in sockets:
        await eventually(lambda s=socket: len(s.pending("message")) == 12)
        assert sorted(frame["data"] for frame in socket.pending("message")) == list(range(12))
    status = await tenant.call("GET", f"/clients/{agent.id}/status", 200)
    assert len(status["connections"]) == 12
    # A revocation reaches all of them.
    began = time.monotonic()
    await tenant.call("DELETE", f"/clients/{agent.id}", 200)
    for socket in sockets:
        assert await socket.wait_closed() == (4403, "deleted")
    assert time.monotonic() - began < 1

    async def counted():
        return (await tenant.call("GET", "/usage/local/stats", 200))["today"]

    today = await eventually(lambda: _when(counted, lambda t: t["messages"] == 12 and t["deliveries"] == 144))
    assert today


async def test_who_answers_no_ping_is_ended_and_who_is_idle_is_not(wide):
    tenant = await (await User.sign_up(wide)).create_organization()
    agent = await tenant.create_client()
    idle, dead = await agent.connect_websocket(), await agent.connect_websocket()
    dead.ws.transport.pause_reading()

    async def connections():
        return len((await tenant.call("GET", f"/clients/{agent.id}/status", 200))["connections"])

    await eventually(lambda: _when(connections, lambda count: count == 1), within=15)
    assert await idle.send_and_receive("ping", "pong")


async def _when(look, right):
    seen = await look()
    return seen if right(seen) else None


async def test_a_flood_is_refused_and_does_not_touch_another_organization(wide):
    loud, quiet = [await (await User.sign_up(wide)).create_organization() for _ in range(2)]
    flooding = [await (await loud.create_client()).connect_websocket() for _ in range(4)]
    one, other = [await (await quiet.create_client()).connect_websocket() for _ in range(2)]
    await other.subscribe(subject="calm")

    async def flood(socket):
        for _ in range(1500):
            await socket.send(type="publish", subject="noise", data="x")

    floods = [asyncio.create_task(flood(socket)) for socket in flooding]
    for number in range(50):
        await one.send_and_receive("publish", "published", subject="calm", data=number, id=number)
        assert (await other.receive("message"))["data"] == number
    await asyncio.gather(*floods)
    # They were slowed down, not cut off.
    for socket in flooding:
        await socket.send(type="ping")
        await socket.receive("pong", within=60)
    refused = [frame for socket in flooding for frame in socket.pending("error")]
    assert {frame["code"] for frame in refused} == {"rate_limited"}
    assert all(frame["retry_after_ms"] == 1000 for frame in refused)


async def test_a_worker_that_dies_is_replaced_and_none_outlives_the_gateway(wide):
    parent = psutil.Process(wide.supervisor.pid("gateway"))
    workers = {worker.pid for worker in parent.children()}
    assert len(workers) == 2
    victim = psutil.Process(workers.copy().pop())
    victim.kill()
    await eventually(
        lambda: len({w.pid for w in parent.children() if w.status() != "zombie"} - {victim.pid}) == 2
    )
    tenant = await (await User.sign_up(wide)).create_organization()
    agent = await tenant.create_client()
    await asyncio.gather(*(_connected(agent) for _ in range(10)))
    orphans = [psutil.Process(worker.pid) for worker in parent.children()]
    wide.supervisor.kill("gateway")
    await eventually(lambda: not any(orphan.is_running() for orphan in orphans))
    await wide.wait_ready()
    await agent.connect_websocket()


async def _connected(agent):
    async def attempt():
        try:
            return await agent.connect_websocket()
        except (OSError, ConnectionError):
            return None

    return await eventually(attempt)
