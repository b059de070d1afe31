"""Any NATS library will do: the maintained one for Node.js, with nothing but a seed."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from support.cleanup import close_after_test

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
    """The package with its pinned dependencies, installed outside of the working tree."""
    directory = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "client.js"):
        shutil.copy(SOURCE / name, directory)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
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
        close_after_test(program, program.end)
        return program

    async def tells(self, event):
        line = await asyncio.wait_for(self.process.stdout.readline(), 15)
        told = json.loads(line)
        assert told.pop("event") == event, told
        return told

    async def end(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


async def test_a_node_client_and_a_websocket_client_talk(package, tenant):
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
    # It publishes, alice hears it.
    await program.tells("published")
    assert (await alice_ws.receive("message", subject=channel["subject"]))["data"] == {"by": "node"}
    # Alice publishes, it hears her.
    await alice_ws.send(type="publish", channel=channel["channel_id"], data={"by": "alice"})
    assert await program.tells("heard") == {"data": {"by": "alice"}, "from": alice.id}
    # It asks, alice answers.
    request = await alice_ws.receive("message", subject="ask")
    assert request["data"] == {"question": 6}
    await alice_ws.send(type="publish", subject=request["reply"], data={"answer": 42})
    assert await program.tells("reply") == {"data": {"answer": 42}}
    # Alice asks, it answers.
    await alice_ws.send(type="request", subject="double", data=21, id="q")
    assert (await alice_ws.receive("reply", id="q"))["data"] == 42

    program.process.stdin.write(b"stop\n")
    await program.tells("closed")
    assert await asyncio.wait_for(program.process.wait(), 5) == 0


async def test_a_key_that_nobody_has_is_refused(package, tenant):
    robot = await tenant.create_client("robot")
    program = await Program.start(
        package,
        url=robot.connection["nats_url"],
        seed=create_key_pair(KeyKind.USER).seed,
        tenant=tenant.id,
        channel="any",
    )
    assert await program.tells("refused") == {"name": "AuthorizationError"}


def test_the_lock_names_no_registry():
    assert '"resolved"' not in (SOURCE / "package-lock.json").read_text()
