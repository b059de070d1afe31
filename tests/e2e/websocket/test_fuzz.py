"""Fuzz tests: peers that write arbitrary bytes get documented errors and do not affect other sockets."""

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
from support.metrics import read_metrics, total
from support.waiting import eventually

# `make fuzz` sets a higher number.
EXAMPLES = int(os.environ.get("ARTCAFE_TEST_EXAMPLES", "4")) * 50
# In bytes. Caches fill, and the allocator does not return all freed memory.
MAX_MEMORY_GROWTH = 96 * MIB
# Close codes of the WebSocket protocol (RFC 6455) itself.
INVALID_PAYLOAD = 1007
PROTOCOL_CLOSE_CODES = {1000, 1002, 1005, 1006, 1007}
FUZZ_SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    print_blob=True,
    # All examples share one fixture; each opens its own connection.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Target:
    """The attacked organization, and a bystander in it and in another organization."""

    def __init__(self, stack, tenant, other_tenant, document):
        self.stack, self.tenant = stack, tenant
        self.names = {"tid": tenant.id, "other": other_tenant.id}
        self._number = 0
        self._document = document
        self._validators = {}

    @classmethod
    async def create(cls, stack):
        tenant = await (await User.sign_up(stack)).create_organization()
        other_tenant = await (await User.sign_up(stack)).create_organization("Other")
        async with httpx.AsyncClient(base_url=stack.api) as http:
            target = cls(stack, tenant, other_tenant, (await http.get("/schema/asyncapi.json")).json())
        channel = await tenant.create_channel()
        target.names["channel"] = channel["channel_id"]
        target.client, target.agent = await tenant.create_client(), await LegacyAgent.register(tenant)
        target.token = await target.agent.request_token()
        target.bystanders = []
        for each in (tenant, other_tenant):
            bystander = await (await each.create_client()).connect_websocket()
            await bystander.subscribe(subject="calm.water")
            target.bystanders.append(bystander)
        keep_open_after_test()
        return target

    async def open(self, endpoint, *, authenticated=True):
        if endpoint == "dashboard":
            return (
                await self.tenant.connect_dashboard()
                if authenticated
                else await self._connect("/ws/dashboard")
            )
        if endpoint == "agent":
            if not authenticated:
                return await self._connect(f"/ws/agent/{self.agent.id}")
            return await self.agent.connect_websocket(headers={"Authorization": f"Bearer {self.token}"})
        return (
            await self.client.connect_websocket()
            if authenticated
            else await self._connect(f"/ws/client/{self.client.id}")
        )

    async def _connect(self, path):
        root = f"ws://127.0.0.1:{self.stack.ports.api}"
        return Socket(await connect(root + path, compression=None, max_size=None))

    async def assert_undisturbed(self):
        """Both bystanders receive their own next message, and nothing else."""
        self._number += 1
        for bystander in self.bystanders:
            await bystander.send_and_receive(
                "publish", "published", subject="calm.water", data=self._number, id=self._number
            )
            message = await bystander.receive("message", within=10)
            assert (message["subject"], message["data"]) == ("calm.water", self._number)
            assert bystander.pending("message") == []

    def assert_documented(self, endpoint, frame):
        """Assert that the AsyncAPI document describes the frame."""
        validators = self._validators.get(endpoint)
        if validators is None:
            components = {"schemas": self._document["components"]["schemas"]}
            validators = self._validators[endpoint] = {}
            for key in self._document["channels"][endpoint]["messages"]:
                message = self._document["components"]["messages"][key]
                schema = {**message["payload"], "components": components}
                validators.setdefault(message["name"], []).append(jsonschema_rs.Draft202012Validator(schema))
        assert any(each.is_valid(frame) for each in validators.get(frame["type"], [])), frame

    def documented_close_codes(self, endpoint):
        codes = self._document["channels"][endpoint]["x-close-codes"]
        return {int(code) for code in codes} | PROTOCOL_CLOSE_CODES

    def gateway(self):
        return psutil.Process(self.stack.supervisor.pid("gateway"))

    async def gauges(self):
        samples = await read_metrics(self.stack, "gateway")
        names = ("artcafe_websockets", "artcafe_bridges", "artcafe_bridge_subscriptions")
        return {name: total(samples, name) for name in names}

    def list_errors(self):
        """Error lines and tracebacks in the gateway's log."""
        log = Path(self.stack.directory / "logs/gateway.log").read_text()
        return [line for line in log.splitlines() if '"level": "error"' in line or "Traceback" in line]


@pytest.fixture(scope="module")
async def target(new_stack):
    async with new_stack() as stack:
        target = await Target.create(stack)
        await target.assert_undisturbed()
        pid, memory, gauges = target.gateway().pid, target.gateway().memory_info().rss, await target.gauges()
        yield target
        await target.assert_undisturbed()
        assert target.gateway().pid == pid
        assert target.gateway().memory_info().rss - memory < MAX_MEMORY_GROWTH
        assert target.list_errors() == []

        async def all_closed():
            return await target.gauges() == gauges

        await eventually(all_closed, within=20)


async def attack(target, endpoint, drawn, *, authenticated):
    """Write all steps; then the socket still works, or was closed with a documented code."""
    steps_, last = drawn
    socket = await target.open(endpoint, authenticated=authenticated)
    try:
        for step in steps_:
            await write_step(socket, step, target.names)
        if last is not None:
            await write_step(socket, last, target.names)
        elif authenticated:
            await ping_if_open(socket)
        if last is not None and last[0] not in ("reset", "half", "raw"):
            await ping_if_open(socket)
        await target.assert_undisturbed()
    finally:
        if last is not None:
            # After half a frame, a close frame would be part of its payload.
            socket.ws.transport.abort()
        await socket.close()
    for frame in socket.received:
        target.assert_documented(endpoint, frame)
    if socket.closed is not None:
        code, reason = socket.closed
        assert code in target.documented_close_codes(endpoint), socket.closed
        # The reason is a code. For an invalid close frame it is the text of the test's WebSocket library.
        assert code == INVALID_PAYLOAD or re.fullmatch(r"[a-z_]*", reason), socket.closed


async def ping_if_open(socket):
    with suppress(ConnectionError, ConnectionClosed):
        await socket.send(type="ping")
        await socket.receive("pong", within=10)


@FUZZ_SETTINGS
@given(data=st.data(), endpoint=st.sampled_from(["client", "agent", "dashboard"]))
@pytest.mark.timeout(3600 if EXAMPLES > 500 else 300)
async def test_authenticated_peers_do_not_affect_others(target, data, endpoint):
    await attack(target, endpoint, data.draw(steps(endpoint)), authenticated=True)


@settings(FUZZ_SETTINGS, max_examples=EXAMPLES // 3)
@given(data=st.data(), endpoint=st.sampled_from(["client", "agent", "dashboard"]))
@pytest.mark.timeout(3600 if EXAMPLES > 500 else 300)
async def test_unauthenticated_peers_do_not_affect_others(target, data, endpoint):
    await attack(target, endpoint, data.draw(steps(endpoint)), authenticated=False)


async def test_subscriptions_are_limited_per_socket(target):
    socket = await target.open("client")
    for number in range(10_000):
        await socket.send(type="subscribe", subject=f"fuzz.many.{number}.>", id=number)
    replies = [await socket.receive_any({"subscribed", "error"}, within=60) for _ in range(10_000)]
    errors = [frame for frame in replies if frame["type"] == "error"]
    assert {frame["code"] for frame in errors} == {"too_many_subscriptions"}
    assert len(errors) == 9_000
    await target.assert_undisturbed()
    await socket.close()


async def test_peers_that_disconnect_inside_a_frame_do_not_affect_others(target):
    for number in range(200):
        socket = await target.open("client", authenticated=number % 2 == 0)
        await write_step(socket, ("half", b'{"type":"publish","subject":"fuzz.a","data":1}'), target.names)
        socket.ws.transport.abort()
        await socket.close()
    await target.assert_undisturbed()


async def test_flood_of_pings_does_not_affect_others(target):
    sockets = [await target.open("client") for _ in range(5)]
    for _ in range(100):
        for socket in sockets:
            await write_step(socket, ("pings", 200), target.names)
        await asyncio.sleep(0)
    await target.assert_undisturbed()
    for socket in sockets:
        # Its own flood is answered before.
        await socket.send(type="ping")
        assert await socket.receive("pong", within=30)
        await socket.close()
