"""Hostile peers: whatever they write, nothing breaks, nobody else notices, and they are told why."""

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path

import httpx
import jsonschema_rs
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from support.actors import Socket, User
from support.agents import LegacyAgent
from support.cleanup import keep_open_after_test
from support.hostile_peer import MIB, steps, write_step
from support.waiting import eventually

# `make fuzz` sets it higher.
EXAMPLES = int(os.environ.get("ARTCAFE_TEST_EXAMPLES", "10")) * 50
# What the gateway may have grown by, in bytes: caches fill, and memory that was free once is not given back.
MAY_GROW = 96 * MIB
# Of the protocol itself (RFC 6455): what we say to broken frames, and what they themselves may say.
NOT_TEXT = 1007
PROTOCOL_CLOSES = {1000, 1002, 1005, 1006, 1007}
WIDE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    print_blob=True,
    # Each example is a connection over the network, and the fixture is one world for all of them on purpose.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class World:
    """Two organizations; in each somebody who talks to itself and must not notice anything."""

    def __init__(self, stack, tenant, other_tenant, document):
        self.stack, self.tenant = stack, tenant
        self.names = {"tid": tenant.id, "other": other_tenant.id}
        self.calm = 0
        self._document = document
        self._validators = {}

    @classmethod
    async def begin(cls, stack):
        tenant = await (await User.sign_up(stack)).create_organization()
        other_tenant = await (await User.sign_up(stack)).create_organization("Other")
        async with httpx.AsyncClient(base_url=stack.api) as http:
            world = cls(stack, tenant, other_tenant, (await http.get("/schema/asyncapi.json")).json())
        channel = await tenant.create_channel()
        world.names["channel"] = channel["channel_id"]
        world.client, world.agent = await tenant.create_client(), await LegacyAgent.register(tenant)
        world.token = await world.agent.request_token()
        world.neighbours = []
        for each in (tenant, other_tenant):
            neighbour = await (await each.create_client()).connect_websocket()
            await neighbour.subscribe(subject="calm.water")
            world.neighbours.append(neighbour)
        keep_open_after_test()
        return world

    async def open(self, endpoint, *, signed_in=True):
        if endpoint == "dashboard":
            return await self.tenant.connect_dashboard() if signed_in else await self._bare("/ws/dashboard")
        if endpoint == "agent":
            if not signed_in:
                return await self._bare(f"/ws/agent/{self.agent.id}")
            return await self.agent.connect_websocket(headers={"Authorization": f"Bearer {self.token}"})
        return (
            await self.client.connect_websocket()
            if signed_in
            else await self._bare(f"/ws/client/{self.client.id}")
        )

    async def _bare(self, path):
        root = f"ws://127.0.0.1:{self.stack.ports.api}"
        return Socket(await connect(root + path, compression=None, max_size=None))

    async def still_calm(self):
        """Both neighbours hear the next number, and have heard nothing else."""
        self.calm += 1
        for neighbour in self.neighbours:
            await neighbour.send_and_receive(
                "publish", "published", subject="calm.water", data=self.calm, id=self.calm
            )
            message = await neighbour.receive("message", within=10)
            assert (message["subject"], message["data"]) == ("calm.water", self.calm)
            assert neighbour.pending("message") == []

    def check(self, endpoint, frame):
        """The document tells of such a frame."""
        known = self._validators.get(endpoint)
        if known is None:
            components = {"schemas": self._document["components"]["schemas"]}
            known = self._validators[endpoint] = {}
            for key in self._document["channels"][endpoint]["messages"]:
                message = self._document["components"]["messages"][key]
                schema = {**message["payload"], "components": components}
                known.setdefault(message["name"], []).append(jsonschema_rs.Draft202012Validator(schema))
        assert any(each.is_valid(frame) for each in known.get(frame["type"], [])), frame

    def closes(self, endpoint):
        told = self._document["channels"][endpoint]["x-close-codes"]
        return {int(code) for code in told} | PROTOCOL_CLOSES

    def gateway(self):
        return psutil.Process(self.stack.supervisor.pid("gateway"))

    async def gauges(self):
        text = (await self.tenant.http.get("/metrics")).text
        names = ("artcafe_websockets", "artcafe_bridges", "artcafe_bridge_subscriptions")
        return {name: float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1]) for name in names}

    def complaints(self):
        """Lines of the gateway's log that tell of a bug."""
        log = Path(self.stack.directory / "logs/gateway.log").read_text()
        return [line for line in log.splitlines() if '"level": "error"' in line or "Traceback" in line]


@pytest.fixture(scope="module")
async def world(new_stack):
    async with new_stack() as running:
        found = await World.begin(running)
        await found.still_calm()
        pid, used, gauges = found.gateway().pid, found.gateway().memory_info().rss, await found.gauges()
        yield found
        await found.still_calm()
        assert found.gateway().pid == pid
        assert found.gateway().memory_info().rss - used < MAY_GROW
        assert found.complaints() == []

        async def all_gone():
            return await found.gauges() == gauges

        await eventually(all_gone, within=20)


async def attacked(world, endpoint, what, *, signed_in):
    """Write it all; then the socket answers, or was closed with a code that is documented."""
    harmless, last = what
    socket = await world.open(endpoint, signed_in=signed_in)
    try:
        for step in harmless:
            await write_step(socket, step, world.names)
        if last is not None:
            await write_step(socket, last, world.names)
        elif signed_in:
            await _answers(socket)
        if last is not None and last[0] not in ("reset", "half", "raw"):
            await _answers(socket)
        await world.still_calm()
    finally:
        if last is not None:
            # Who is in the middle of a frame does not hear that we leave.
            socket.ws.transport.abort()
        await socket.close()
    for frame in socket.received:
        world.check(endpoint, frame)
    if socket.closed is not None:
        code, reason = socket.closed
        assert code in world.closes(endpoint), socket.closed
        # A word, not prose; of a bad close frame the library of this test tells in its own words.
        assert code == NOT_TEXT or re.fullmatch(r"[a-z_]*", reason), socket.closed


async def _answers(socket):
    with suppress(ConnectionError, ConnectionClosed):
        await socket.send(type="ping")
        await socket.receive("pong", within=10)


@WIDE
@given(data=st.data(), endpoint=st.sampled_from(["client", "agent", "dashboard"]))
@pytest.mark.timeout(3600 if EXAMPLES > 500 else 300)
async def test_whatever_is_written_nobody_else_notices(world, data, endpoint):
    await attacked(world, endpoint, data.draw(steps(endpoint)), signed_in=True)


@settings(WIDE, max_examples=EXAMPLES // 3)
@given(data=st.data(), endpoint=st.sampled_from(["client", "agent", "dashboard"]))
@pytest.mark.timeout(3600 if EXAMPLES > 500 else 300)
async def test_whatever_strangers_write_nobody_notices(world, data, endpoint):
    await attacked(world, endpoint, data.draw(steps(endpoint)), signed_in=False)


async def test_ten_thousand_subscriptions(world):
    socket = await world.open("client")
    for number in range(10_000):
        await socket.send(type="subscribe", subject=f"fuzz.many.{number}.>", id=number)
    told = [await socket.receive_any({"subscribed", "error"}, within=60) for _ in range(10_000)]
    refused = [frame for frame in told if frame["type"] == "error"]
    assert {frame["code"] for frame in refused} == {"too_many_subscriptions"}
    assert len(refused) == 9_000
    await world.still_calm()
    await socket.close()


async def test_who_vanishes_in_the_middle_of_a_word(world):
    for begun in range(200):
        socket = await world.open("client", signed_in=begun % 2 == 0)
        await write_step(socket, ("half", b'{"type":"publish","subject":"fuzz.a","data":1}'), world.names)
        socket.ws.transport.abort()
        await socket.close()
    await world.still_calm()


async def test_a_flood_of_pings(world):
    sockets = [await world.open("client") for _ in range(5)]
    for _ in range(100):
        for socket in sockets:
            await write_step(socket, ("pings", 200), world.names)
        await asyncio.sleep(0)
    await world.still_calm()
    for socket in sockets:
        assert await socket.send_and_receive("ping", "pong")
        await socket.close()
