"""The published SDK as it is: its agents against this system, beside clients of today."""

import asyncio
import json
import os
import subprocess
import sys
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
from support.waiting import eventually

SDK = "artcafe-agent-framework==0.4.3"
PROGRAM = Path(__file__).parent / "sdk/agent.py"
NAME = "team.updates"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the SDK as the registry has it."""
    directory = tmp_path_factory.mktemp("sdk") / "venv"
    uv = str(Path(sys.executable).parent / "uv")
    binary = str(directory / "bin/python")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(directory)],
        [uv, "pip", "install", "--quiet", "--python", binary, SDK],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"needs {SDK} of the package registry: {error}")
        if done.returncode:
            pytest.skip(f"needs {SDK} of the package registry: {done.stderr.strip()[-300:]}")
    return binary


@pytest.fixture(scope="module")
async def allowing(new_stack):
    """A stack whose operator allows what two of the SDK's classes need."""
    async with new_stack({"ARTCAFE_ALLOW_CLIENT_CHALLENGE": "true"}) as running:
        yield running


@pytest.fixture(scope="module")
def key_of(tmp_path_factory):
    """A new RSA key, and the file that an agent reads it from."""
    directory = tmp_path_factory.mktemp("keys")

    def make():
        key = rsa.generate_private_key(65537, 2048)
        path = directory / f"{uuid.uuid4().hex}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return key, path

    return make


class Program:
    """A running agent of the SDK, and what it tells."""

    def __init__(self, legacy, process):
        self.id = legacy.id
        self.process = process
        self.told = []
        self._reader = asyncio.create_task(self._read())
        close_after_test(self, self.end)

    @classmethod
    async def start(cls, python, key_of, tenant, kind):
        key, path = key_of()
        legacy = await LegacyAgent.register(tenant, key=key, name=f"{kind} {uuid.uuid4().hex[:6]}")
        options = {
            "kind": kind,
            "agent_id": legacy.id,
            "tenant_id": tenant.id,
            "key": str(path),
            "ws": legacy.root,
            "api": tenant.stack.api,
            "hear": [NAME],
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
            self.told.append(json.loads(line))

    def order(self, do, **fields):
        self.process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")

    def heard(self):
        """What came on the name, as its publisher gave it."""
        return [self.content(each) for each in self.told if each["event"] == "heard"]

    @staticmethod
    def content(heard):
        # An agent of today's clients puts no envelope around its data.
        return heard["data"] or heard.get("envelope")

    async def hears(self, data, count=1):
        def content():
            return [one.get("payload", one) for one in self.heard()].count(data) >= count

        await eventually(content, within=20)

    async def tells(self, event):
        def found():
            return next((each for each in self.told if each["event"] == event), None)

        return await eventually(found, within=20)

    async def stop(self):
        self.order("stop")
        await self.tells("stopped")
        assert await asyncio.wait_for(self.process.wait(), 10) == 0

    async def end(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader


async def listening(socket, programs):
    """Wait until every program hears what a client says."""
    for program in programs:

        async def calls(program=program):
            hello = {"hello": uuid.uuid4().hex}
            await socket.send_and_receive("publish", "published", subject=NAME, data=hello, id=1)
            await asyncio.sleep(0.1)
            return hello in program.heard()

        await eventually(calls, within=30)


@pytest.mark.sdk
async def test_the_sdks_agents_meet_each_other_and_new_clients(python, key_of, allowing):
    tenant = await (await User.sign_up(allowing)).create_organization()
    other = await (await User.sign_up(allowing)).create_organization("Other")
    kinds = ("plain", "simplified", "heartbeat")
    programs = {kind: await Program.start(python, key_of, tenant, kind) for kind in kinds}
    strangers = [await Program.start(python, key_of, other, kind) for kind in kinds]
    client, alien = await tenant.create_client(), await other.create_client()
    socket, direct = await client.connect_websocket(), await (await tenant.create_client()).connect_nats()
    alien_socket = await alien.connect_websocket()
    await listening(socket, programs.values())
    await listening(alien_socket, strangers)
    for stranger in strangers:
        stranger.told.clear()
    await alien_socket.subscribe(subject=NAME)
    await socket.subscribe(subject=NAME)
    here = await direct.subscribe(f"{tenant.id}.{NAME}")
    await direct.flush()

    # From each of them to everybody, in the form of whoever listens.
    for kind, program in programs.items():
        said = {"said by": kind}
        program.order("publish", name=NAME, data=said)
        for listener in programs.values():
            await listener.hears(said)
        message = await socket.receive("message")
        assert (message["subject"], message["from"]) == (NAME, program.id)
        raw = json.loads((await here.next_msg(5)).data)
        assert raw == message["data"]
        # `framework.Agent` wraps what it says, the others do not.
        assert (raw["payload"] if kind == "plain" else raw) == said
        if kind == "plain":
            assert raw["source"] == {"agent_id": program.id, "type": "agent"}

    # From new clients to each of them.
    await socket.send_and_receive(
        "publish", "published", subject=NAME, data={"payload": {"from": "ws"}}, id=2
    )
    await direct.publish(f"tenant.{tenant.id}.{NAME}", b'{"payload": {"from": "nats"}}')
    for program in programs.values():
        await program.hears({"from": "ws"})
        await program.hears({"from": "nats"})

    # Each heard each thing once, and the other organization nothing of it.
    for program in programs.values():
        contents = [json.dumps(each, sort_keys=True) for each in program.heard()]
        assert len(contents) == len(set(contents))
    assert [stranger.told for stranger in strangers] == [[], [], []]
    await alien_socket.assert_no_frame("message")

    # They are seen, as long as they are there.
    for program in programs.values():
        assert (await tenant.call("GET", f"/agents/{program.id}", 200))["status"] == "online"
        assert await other.call("GET", f"/agents/{program.id}", 404)
    programs["heartbeat"].order("health")
    health = await programs["heartbeat"].tells("health")
    assert (health["healthy"], health["connected"], health["reconnect_attempts"]) == (True, True, 0)
    for program in programs.values():
        await program.stop()

    async def offline():
        page = await tenant.call("GET", "/agents", 200)
        return {agent["status"] for agent in page["agents"]} == {"offline"}

    await eventually(offline)


@pytest.mark.sdk
async def test_simplified_agents_write_to_each_other(python, key_of, allowing):
    tenant = await (await User.sign_up(allowing)).create_organization()
    one = await Program.start(python, key_of, tenant, "simplified")
    socket = await (await tenant.create_client()).connect_websocket()
    await listening(socket, [one])
    other = await Program.start(python, key_of, tenant, "simplified")
    await listening(socket, [other])
    # The first heard the second come.
    await eventually(
        lambda: any(each.get("subject") == "agents.presence.online" for each in one.told), within=20
    )
    one.order("publish", name=f"agents.{other.id}.task", data={"n": 1})
    await other.hears({"n": 1})
    await socket.send_and_receive(
        "publish", "published", subject=f"{tenant.id}.agents.{one.id}.task", data={"n": 2}, id=1
    )
    await one.hears({"n": 2})
    assert {"n": 1} not in one.heard()


# -- the NATS agent, as its authors mended it ------------------------------------------------------


async def test_the_mended_nats_agents_subjects_work(tenant, stranger):
    """By nats-py alone: what that agent sends, with the reply subject that it gives everything."""
    client = await tenant.create_client()
    watcher = await (await tenant.create_client()).connect_websocket()
    await watcher.subscribe(subject="jobs.>")
    alien = await (await stranger.create_client()).connect_websocket()
    for subject in ("jobs.>", "*", f"_heartbeat.{tenant.id}.>"):
        await alien.send(type="subscribe", subject=subject)
    refusals = []

    async def refused(error):
        refusals.append(error)

    nc = await client.connect_nats(error_cb=refused)

    async def say(subject, body):
        await nc.publish(subject, json.dumps(body).encode(), reply="None")

    def presence(kind):
        return {
            "client_id": client.id,
            "tenant_id": tenant.id,
            "type": kind,
            "timestamp": "2026-01-01T00:00:00",
            "metadata": {"zone": "b"},
        }

    where = f"tenant.{tenant.id}.client.{client.id}"
    await say(f"_PRESENCE.{where}", presence("connect"))
    await say(f"_heartbeat.{tenant.id}.{client.id}", {"ts": int(time.time()), "v": "1.0"})
    figures = {"client_id": client.id, "messages_sent": 3, "subjects": ["jobs.new"]}
    await say(f"_METRICS.{where}", figures)

    async def seen():
        state = await tenant.call("GET", f"/clients/{client.id}/status", 200)
        known = (state["status"], state["health"], state["metadata"], state["metrics"])
        return known == ("online", "healthy", {"zone": "b"}, figures)

    await eventually(seen)

    # Publish, subscribe and request on the tenant's short names.
    sub = await nc.subscribe(f"{tenant.id}.jobs.*")
    await say(f"{tenant.id}.jobs.new", {"n": 1})
    message = await watcher.receive("message", subject="jobs.new")
    assert message["data"] == {"n": 1}
    assert "reply" not in message
    assert json.loads((await sub.next_msg(5)).data) == {"n": 1}
    await watcher.send_and_receive("publish", "published", subject="jobs.done", data={"n": 2}, id=1)
    assert json.loads((await sub.next_msg(5)).data) == {"n": 2}
    await watcher.subscribe(subject="ask")
    asking = asyncio.create_task(nc.request(f"{tenant.id}.ask", b"6", timeout=5))
    question = await watcher.receive("message", subject="ask")
    await watcher.send(type="publish", subject=question["reply"], data=42)
    assert (await asking).data == b"42"
    with pytest.raises(nats.errors.NoRespondersError):
        await nc.request(f"{tenant.id}.nobody", b"1", timeout=5)

    await say(f"_PRESENCE.{where}", presence("disconnect"))

    async def gone():
        return (await tenant.call("GET", f"/clients/{client.id}/status", 200))["status"] == "offline"

    await eventually(gone)
    assert refusals == []
    await alien.assert_no_frame("message")
