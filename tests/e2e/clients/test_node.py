"""A Node.js client with the standard NATS library, whose only credential is a seed."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from support.cleanup import close_after_test
from support.history import publish

SOURCE = Path(__file__).parent / "node"
pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")),
        reason="needs node and npm, which are not installed",
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package with its locked dependencies, installed outside the source tree."""
    directory = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "client.js", "streams.js"):
        shutil.copy(SOURCE / name, directory)
    result = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert result.returncode == 0, result.stderr
    return directory


class Program:
    """The running Node.js program."""

    def __init__(self, process):
        self.process = process

    @classmethod
    async def start(cls, package, **options):
        process = await asyncio.create_subprocess_exec(
            *("node", "client.js", json.dumps(options)),
            cwd=package,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        program = cls(process)
        close_after_test(program, program.stop)
        return program

    async def wait_for(self, event):
        """The fields of the next event, which must have this name."""
        line = await asyncio.wait_for(self.process.stdout.readline(), 15)
        fields = json.loads(line)
        assert fields.pop("event") == event, fields
        return fields

    async def stop(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def test_node_client_and_websocket_client_exchange_messages(package, tenant):
    alice, robot = await tenant.create_client("alice"), await tenant.create_client("robot")
    channel = await tenant.create_channel()
    alice_ws = await alice.connect_websocket()
    await alice_ws.subscribe(channel=channel["channel_id"])
    await alice_ws.subscribe(subject="ask")

    program = await Program.start(
        package,
        url=robot.connection["nats_url"],
        seed=robot.seed,
        tenant=tenant.id,
        channel=channel["subject"],
    )
    # From the program to alice.
    await program.wait_for("published")
    assert (await alice_ws.receive("message", subject=channel["subject"]))["data"] == {"by": "node"}
    # From alice to the program.
    await alice_ws.send(type="publish", channel=channel["channel_id"], data={"by": "alice"})
    assert await program.wait_for("received") == {"data": {"by": "alice"}, "from": alice.id}
    # A request of the program, answered by alice.
    request = await alice_ws.receive("message", subject="ask")
    assert request["data"] == {"question": 6}
    await alice_ws.send(type="publish", subject=request["reply"], data={"answer": 42})
    assert await program.wait_for("reply") == {"data": {"answer": 42}}
    # A request of alice, answered by the program.
    await alice_ws.send(type="request", subject="double", data=21, id="q")
    assert (await alice_ws.receive("reply", id="q"))["data"] == 42

    program.process.stdin.write(b"stop\n")
    await program.wait_for("closed")
    assert await asyncio.wait_for(program.process.wait(), 5) == 0


@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_streams_stores_and_services_of_the_standard_libraries_work(package, tenant, transport):
    channel, reader = await tenant.create_channel(), await tenant.create_client()
    manager = await tenant.create_client(permissions={"streams": "manage"})
    await publish(tenant, channel, 1, 2)
    options = {
        "url": reader.connection["nats_url"],
        "websocket": reader.connection["nats_ws_url"] if transport == "websocket" else None,
        "reader": reader.seed,
        "manager": manager.seed,
        "channel": channel["subject"],
    }
    process = await asyncio.create_subprocess_exec(
        *("node", "streams.js", json.dumps(options)),
        cwd=package,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert json.loads(out) == {
        "ack": 3,
        "messages": 3,
        "last": 3,
        "ordered": [1, 2, 3],
        "acknowledged": [True, True],
        "pending": 0,
        "service": "42",
        "value": "red",
        "bytes": 300_000,
        "own": "1",
    }


async def test_unknown_key_is_rejected(package, tenant):
    robot = await tenant.create_client("robot")
    program = await Program.start(
        package,
        url=robot.connection["nats_url"],
        seed=create_key_pair(KeyKind.USER).seed,
        tenant=tenant.id,
        channel="any",
    )
    assert await program.wait_for("rejected") == {"name": "AuthorizationError"}


def test_package_lock_contains_no_registry_url():
    assert '"resolved"' not in (SOURCE / "package-lock.json").read_text()
