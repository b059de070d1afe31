"""Agents of the published SDK, unchanged, together with clients of the current protocol."""

import asyncio
import json
import os
import time
import uuid
from pathlib import Path

import nats.errors
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.actors import User
from support.agents import LegacyAgent
from support.cleanup import close_after_test
from support.packages import create_environment
from support.waiting import eventually

SDK = "artcafe-agent-framework==0.4.3"
PROGRAM = Path(__file__).parent / "sdk/agent.py"
NAME = "team.updates"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a virtual environment with the published SDK."""
    return create_environment(tmp_path_factory.mktemp("sdk"), SDK)


@pytest.fixture(scope="module")
async def sdk_stack(new_stack):
    """A stack with client-generated challenges enabled: two classes of the SDK need them."""
    async with new_stack({"ARTCAFE_ALLOW_CLIENT_CHALLENGE": "true"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def new_key_file(tmp_path_factory):
    """Creates an RSA key, and the file from which an agent reads it."""
    directory = tmp_path_factory.mktemp("keys")

    def create():
        key = rsa.generate_private_key(65537, 2048)
        path = directory / f"{uuid.uuid4().hex}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key, path

    return create


class Program:
    """A running agent of the SDK, and the events that it printed."""

    def __init__(self, legacy, process):
        self.id = legacy.id
        self.process = process
        self.events = []
        self._reader = asyncio.create_task(self._read())
        close_after_test(self, self.kill)

    @classmethod
    async def start(cls, python, new_key_file, tenant, kind):
        key, path = new_key_file()
        legacy = await LegacyAgent.register(tenant, key=key, name=f"{kind} {uuid.uuid4().hex[:6]}")
        options = {
            "kind": kind,
            "agent_id": legacy.id,
            "tenant_id": tenant.id,
            "key": str(path),
            "ws": legacy.root,
            "api": tenant.stack.api,
            "subscribe": [NAME],
        }
        process = await asyncio.create_subprocess_exec(
            *(python, str(PROGRAM), json.dumps(options)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        )
        return cls(legacy, process)

    async def _read(self):
        while line := await self.process.stdout.readline():
            self.events.append(json.loads(line))

    def send_command(self, do, **fields):
        self.process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")

    def received(self):
        """The data of all received messages."""
        messages = [each for each in self.events if each["event"] == "received"]
        # Without an envelope, `framework.Agent` reports the data as the envelope.
        return [each["data"] or each.get("envelope") for each in messages]

    async def wait_for_message(self, data):
        await eventually(lambda: data in [each.get("payload", each) for each in self.received()], within=20)

    async def wait_for_event(self, event):
        def find():
            return next((each for each in self.events if each["event"] == event), None)

        return await eventually(find, within=20)

    async def stop(self):
        self.send_command("stop")
        await self.wait_for_event("stopped")
        assert await asyncio.wait_for(self.process.wait(), 10) == 0

    async def kill(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader


async def wait_until_subscribed(socket, programs):
    """Wait until every program receives what a client publishes."""
    for program in programs:

        async def received(program=program):
            hello = {"hello": uuid.uuid4().hex}
            await socket.send_and_receive("publish", "published", subject=NAME, data=hello, id=1)
            await asyncio.sleep(0.1)
            return hello in program.received()

        await eventually(received, within=30)


@pytest.mark.sdk
async def test_sdk_agents_exchange_messages_with_each_other_and_with_clients(python, new_key_file, sdk_stack):
    tenant = await (await User.sign_up(sdk_stack)).create_organization()
    other = await (await User.sign_up(sdk_stack)).create_organization("Other")
    kinds = ("plain", "simplified", "heartbeat")
    programs = {kind: await Program.start(python, new_key_file, tenant, kind) for kind in kinds}
    foreign_programs = [await Program.start(python, new_key_file, other, kind) for kind in kinds]
    client, foreign = await tenant.create_client(), await other.create_client()
    socket, direct = await client.connect_websocket(), await (await tenant.create_client()).connect_nats()
    foreign_socket = await foreign.connect_websocket()
    await wait_until_subscribed(socket, programs.values())
    await wait_until_subscribed(foreign_socket, foreign_programs)
    for foreign_program in foreign_programs:
        foreign_program.events.clear()
    await foreign_socket.subscribe(subject=NAME)
    await socket.subscribe(subject=NAME)
    subscription = await direct.subscribe(f"{tenant.id}.{NAME}")
    await direct.flush()

    # From each agent to all agents, and to both kinds of clients.
    for kind, program in programs.items():
        data = {"sent by": kind}
        program.send_command("publish", name=NAME, data=data)
        for listener in programs.values():
            await listener.wait_for_message(data)
        message = await socket.receive("message")
        assert (message["subject"], message["from"]) == (NAME, program.id)
        raw = json.loads((await subscription.next_msg(5)).data)
        assert raw == message["data"]
        # Only `framework.Agent` puts its data into an envelope.
        assert (raw["payload"] if kind == "plain" else raw) == data
        if kind == "plain":
            assert raw["source"] == {"agent_id": program.id, "type": "agent"}

    # From clients to each agent.
    await socket.send_and_receive(
        "publish", "published", subject=NAME, data={"payload": {"from": "ws"}}, id=2
    )
    await direct.publish(f"tenant.{tenant.id}.{NAME}", b'{"payload": {"from": "nats"}}')
    for program in programs.values():
        await program.wait_for_message({"from": "ws"})
        await program.wait_for_message({"from": "nats"})

    # Each agent received each message once, and the other organization received none.
    for program in programs.values():
        contents = [json.dumps(each, sort_keys=True) for each in program.received()]
        assert len(contents) == len(set(contents))
    assert [foreign_program.events for foreign_program in foreign_programs] == [[], [], []]
    await foreign_socket.assert_no_frame("message")

    # Agents are online until they stop.
    for program in programs.values():
        assert (await tenant.call("GET", f"/agents/{program.id}", 200))["status"] == "online"
        assert await other.call("GET", f"/agents/{program.id}", 404)
    programs["heartbeat"].send_command("health")
    health = await programs["heartbeat"].wait_for_event("health")
    assert (health["healthy"], health["connected"], health["reconnect_attempts"]) == (True, True, 0)
    for program in programs.values():
        await program.stop()

    async def all_offline():
        page = await tenant.call("GET", "/agents", 200)
        return {agent["status"] for agent in page["agents"]} == {"offline"}

    await eventually(all_offline)


@pytest.mark.sdk
async def test_simplified_agents_send_direct_messages(python, new_key_file, sdk_stack):
    tenant = await (await User.sign_up(sdk_stack)).create_organization()
    one = await Program.start(python, new_key_file, tenant, "simplified")
    socket = await (await tenant.create_client()).connect_websocket()
    await wait_until_subscribed(socket, [one])
    other = await Program.start(python, new_key_file, tenant, "simplified")
    await wait_until_subscribed(socket, [other])
    # The first agent received the presence announcement of the second.
    await eventually(
        lambda: any(each.get("subject") == "agents.presence.online" for each in one.events), within=20
    )
    one.send_command("publish", name=f"agents.{other.id}.task", data={"n": 1})
    await other.wait_for_message({"n": 1})
    await socket.send_and_receive(
        "publish", "published", subject=f"{tenant.id}.agents.{one.id}.task", data={"n": 2}, id=1
    )
    await one.wait_for_message({"n": 2})
    assert {"n": 1} not in one.received()


async def test_subjects_of_the_fixed_nats_agent_work(tenant, other_tenant):
    """Publishes what the SDK's NATS agent does after its fix, including its literal reply subject "None"."""
    client = await tenant.create_client()
    watcher = await (await tenant.create_client()).connect_websocket()
    await watcher.subscribe(subject="jobs.>")
    foreign = await (await other_tenant.create_client()).connect_websocket()
    for subject in ("jobs.>", "*", f"_heartbeat.{tenant.id}.>"):
        await foreign.send(type="subscribe", subject=subject)
    errors = []

    async def record_error(error):
        errors.append(error)

    nc = await client.connect_nats(error_cb=record_error)

    async def publish(subject, body):
        await nc.publish(subject, json.dumps(body).encode(), reply="None")

    def presence_report(kind):
        return {
            "client_id": client.id,
            "tenant_id": tenant.id,
            "type": kind,
            "timestamp": "2026-01-01T00:00:00",
            "metadata": {"zone": "b"},
        }

    suffix = f"tenant.{tenant.id}.client.{client.id}"
    await publish(f"_PRESENCE.{suffix}", presence_report("connect"))
    await publish(f"_heartbeat.{tenant.id}.{client.id}", {"ts": int(time.time()), "v": "1.0"})
    metrics = {"client_id": client.id, "messages_sent": 3, "subjects": ["jobs.new"]}
    await publish(f"_METRICS.{suffix}", metrics)

    async def status_matches():
        state = await tenant.call("GET", f"/clients/{client.id}/status", 200)
        reported = (state["status"], state["health"], state["metadata"], state["traffic"])
        return reported == ("online", "healthy", {"zone": "b"}, metrics)

    await eventually(status_matches)

    # Publish, subscribe and request on the tenant's short names.
    sub = await nc.subscribe(f"{tenant.id}.jobs.*")
    await publish(f"{tenant.id}.jobs.new", {"n": 1})
    message = await watcher.receive("message", subject="jobs.new")
    assert message["data"] == {"n": 1}
    assert "reply" not in message
    assert json.loads((await sub.next_msg(5)).data) == {"n": 1}
    await watcher.send_and_receive("publish", "published", subject="jobs.result", data={"n": 2}, id=1)
    assert json.loads((await sub.next_msg(5)).data) == {"n": 2}
    await watcher.subscribe(subject="ask")
    request = asyncio.create_task(nc.request(f"{tenant.id}.ask", b"6", timeout=5))
    question = await watcher.receive("message", subject="ask")
    await watcher.send(type="publish", subject=question["reply"], data=42)
    assert (await request).data == b"42"
    with pytest.raises(nats.errors.NoRespondersError):
        await nc.request(f"{tenant.id}.nobody", b"1", timeout=5)

    await publish(f"_PRESENCE.{suffix}", presence_report("disconnect"))

    async def is_offline():
        return (await tenant.call("GET", f"/clients/{client.id}/status", 200))["status"] == "offline"

    await eventually(is_offline)
    assert errors == []
    await foreign.assert_no_frame("message")
