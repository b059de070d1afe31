"""compose.cluster.yaml: three nats-servers, two of each service, Redis with Sentinels; one of each is killed.

The tests run in order, on one system.
"""

import asyncio

import pytest

from artcafe_common.installation.user_pool import DEMO_PASSWORD, DEMO_USER
from support.compose import SERVICES, UP_WITHIN_S, free_port, running_system
from support.container_clients import authenticate, call, receive
from support.docker import docker
from support.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(UP_WITHIN_S + 300)]
NODES = ("nats", "nats-2", "nats-3")


@pytest.fixture(scope="module")
async def compose(tmp_path_factory):
    """The running system."""
    async with running_system(
        tmp_path_factory,
        files=("compose.yaml", "compose.cluster.yaml"),
        ARTCAFE_NATS_2_PORT=str(free_port()),
        ARTCAFE_NATS_3_PORT=str(free_port()),
    ) as system:
        yield system


@pytest.fixture(scope="module")
async def http(compose):
    """Signed in, with an organization of its own."""
    async with compose.http("api.localhost") as http:
        tokens = await call(
            http, "POST", "/auth/login", 200, json={"email": DEMO_USER, "password": DEMO_PASSWORD}
        )
        http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        http.headers["X-Tenant-Id"] = (await call(http, "POST", "/accounts", 201, json={"name": "Three"}))[
            "account_id"
        ]
        yield http


@pytest.fixture(scope="module")
async def channel(http):
    return (await call(http, "POST", "/channels", 201, json={"name": "announcements"}))["channel_id"]


async def publish(http, channel, number):
    """Publish until it is acknowledged, each time with the same key; the answer."""

    async def accepted():
        response = await http.post(
            f"/channels/{channel}/messages",
            json={"data": number},
            headers={"Idempotency-Key": f"{channel}-{number}"},
        )
        return response.json() if response.status_code == 202 else None

    return await eventually(accepted, within=60, every=0.2)


async def test_every_part_runs_as_often_as_it_should(compose):
    assert {name: len(compose.inspect(name)) for name in (*SERVICES, *NODES)} == {
        **dict.fromkeys(SERVICES, 2),
        **dict.fromkeys(NODES, 1),
    }


async def test_messages_are_stored_three_times(compose, http, channel):
    client = await call(http, "POST", "/clients", 201, json={"name": "alice"})
    client_id = client["client"]["client_id"]
    async with compose.connect_websocket("ws.localhost", f"/ws/client/{client_id}") as ws:
        await authenticate(ws, client["nkey_seed"])
        await ws.send(f'{{"type": "subscribe", "channel": "{channel}"}}')
        await receive(ws, "subscribed")
        assert (await publish(http, channel, 1))["seq"] == 1
        assert (await receive(ws, "message"))["data"] == 1

    async def is_healthy():
        result = await asyncio.to_thread(compose.run, "run", "--rm", "-T", "artcafe", "doctor", check=False)
        return result.returncode == 0 and {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}

    await eventually(is_healthy, within=90, every=5)


@pytest.mark.parametrize("part", ["nats-2", "valkey", "gateway", "tenancy"])
async def test_one_that_is_killed_costs_nothing_acknowledged(compose, http, channel, part):
    before = len((await call(http, "GET", f"/channels/{channel}/messages", 200))["messages"])
    container = compose.inspect(part)[0]["Id"]
    await asyncio.to_thread(docker, "kill", container)
    await publish(http, channel, before + 1)

    async def created():
        # New keys are counted in Redis.
        response = await http.post("/clients", json={"name": f"after {part}"})
        return response.json()["client"]["client_id"] if response.status_code == 201 else None

    await call(http, "DELETE", f"/clients/{await eventually(created, within=60, every=0.5)}", 200)
    await asyncio.to_thread(docker, "start", container)
    history = await call(http, "GET", f"/channels/{channel}/messages", 200)
    assert sorted(message["data"] for message in history["messages"]) == [*range(1, before + 2)]


async def test_down_leaves_nothing(compose):
    assert compose.leftovers()
    await asyncio.to_thread(compose.run, "down", "--volumes")
    assert compose.leftovers() == []
