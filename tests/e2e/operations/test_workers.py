"""Several gateway workers on one port, and rate limits per organization."""

import asyncio
import time

import psutil
import pytest

from support.actors import User
from support.metrics import read_metrics, total
from support.waiting import eventually


@pytest.fixture(scope="module")
async def worker_stack(new_stack):
    """Two gateway workers, and a low publish rate per organization."""
    settings = {"ARTCAFE_GATEWAY_WORKERS": "2", "ARTCAFE_PUBLISH_RATE": "500", "ARTCAFE_PING_INTERVAL_S": "1"}
    async with new_stack(settings) as stack:
        yield stack


async def test_messages_and_revocations_reach_sockets_of_every_worker(worker_stack):
    tenant = await (await User.sign_up(worker_stack)).create_organization()
    client = await tenant.create_client()
    # Enough sockets that the kernel distributes them over both workers.
    sockets = [await client.connect_websocket() for _ in range(12)]
    for socket in sockets:
        await socket.subscribe(subject="all")
    for number, socket in enumerate(sockets):
        await socket.send_and_receive("publish", "published", subject="all", data=number, id=number)
    for socket in sockets:
        await eventually(lambda s=socket: len(s.pending("message")) == 12)
        assert sorted(frame["data"] for frame in socket.pending("message")) == list(range(12))

    async def all_connected():
        status = await tenant.call("GET", f"/clients/{client.id}/status", 200)
        return len(status["connections"]) == 12

    await eventually(all_connected)
    # One answer has the metrics of both workers.
    samples = await read_metrics(worker_stack, "gateway")
    by_worker = {
        number: total(samples, "artcafe_websockets", kind="client", worker=number) for number in ("0", "1")
    }
    assert sum(by_worker.values()) == total(samples, "artcafe_websockets") == 12
    assert all(by_worker.values()), by_worker
    # A revocation reaches all of them.
    began = time.monotonic()
    await tenant.call("DELETE", f"/clients/{client.id}", 200)
    for socket in sockets:
        assert await socket.wait_closed() == (4403, "deleted")
    assert time.monotonic() - began < 1

    async def all_counted():
        today = (await tenant.call("GET", "/usage/local/stats", 200))["today"]
        return (today["messages"], today["deliveries"]) == (12, 144)

    await eventually(all_counted)


async def test_socket_without_pong_is_closed_and_idle_socket_is_not(worker_stack):
    tenant = await (await User.sign_up(worker_stack)).create_organization()
    client = await tenant.create_client()
    idle, dead = await client.connect_websocket(), await client.connect_websocket()
    dead.ws.transport.pause_reading()

    async def one_connection_left():
        status = await tenant.call("GET", f"/clients/{client.id}/status", 200)
        return len(status["connections"]) == 1

    await eventually(one_connection_left, within=15)
    assert await idle.send_and_receive("ping", "pong")


async def test_flood_is_rate_limited_and_does_not_affect_another_organization(worker_stack):
    flooding_org, quiet_org = [
        await (await User.sign_up(worker_stack)).create_organization() for _ in range(2)
    ]
    flooding = [await (await flooding_org.create_client()).connect_websocket() for _ in range(4)]
    publisher, subscriber = [await (await quiet_org.create_client()).connect_websocket() for _ in range(2)]
    await subscriber.subscribe(subject="calm")

    async def flood(socket):
        for _ in range(1500):
            await socket.send(type="publish", subject="noise", data="x")

    floods = [asyncio.create_task(flood(socket)) for socket in flooding]
    for number in range(50):
        await publisher.send_and_receive("publish", "published", subject="calm", data=number, id=number)
        assert (await subscriber.receive("message"))["data"] == number
    await asyncio.gather(*floods)
    # The flooding sockets stay open.
    for socket in flooding:
        await socket.send(type="ping")
        await socket.receive("pong", within=60)
    errors = [frame for socket in flooding for frame in socket.pending("error")]
    assert {frame["code"] for frame in errors} == {"rate_limited"}
    assert all(frame["retry_after_ms"] == 1000 for frame in errors)


async def test_killed_worker_is_replaced_and_no_worker_outlives_the_gateway(worker_stack):
    parent = psutil.Process(worker_stack.supervisor.pid("gateway"))
    workers = {worker.pid for worker in parent.children()}
    assert len(workers) == 2
    victim = psutil.Process(workers.copy().pop())
    victim.kill()
    await eventually(
        lambda: len({w.pid for w in parent.children() if w.status() != "zombie"} - {victim.pid}) == 2
    )
    tenant = await (await User.sign_up(worker_stack)).create_organization()
    client = await tenant.create_client()
    await asyncio.gather(*(connect_with_retry(client) for _ in range(10)))
    orphans = [psutil.Process(worker.pid) for worker in parent.children()]
    worker_stack.supervisor.kill("gateway")
    await eventually(lambda: not any(orphan.is_running() for orphan in orphans))
    await worker_stack.wait_ready()
    await client.connect_websocket()


async def connect_with_retry(client):
    async def attempt():
        try:
            return await client.connect_websocket()
        except (OSError, ConnectionError):
            return None

    return await eventually(attempt)
