"""The TypeScript SDK, built with its locked packages."""

import contextlib
import fcntl
import re
import shutil
import subprocess
from pathlib import Path

from support.json_process import JsonProcess

SOURCE = Path(__file__).parents[2] / "libs/client-js"
OLDEST_NODE = (20, 19)
PEER = Path(__file__).parents[1] / "e2e/sdk/node_peer.mjs"


def missing_node():
    """Why the SDK cannot be built here; None if it can."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "needs node and npm, which are not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    found = tuple(map(int, re.findall(r"\d+", version)[:2]))
    return None if found >= OLDEST_NODE else f"needs Node.js 20.19 or newer; this is {version.strip()}"


def websocket_flags():
    """The options with which Node.js has a global WebSocket."""
    found = subprocess.run(["node", "-p", "typeof WebSocket"], capture_output=True, text=True, check=True)
    return [] if found.stdout.strip() == "function" else ["--experimental-websocket"]


def npm(directory, *arguments, environment=None):
    """The output of an npm command; fails with it."""
    done = subprocess.run(
        ["npm", *arguments],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build_sdk_once(directory):
    """The SDK, built in a directory by the first of several processes that want it."""
    with (directory / "client-js.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = directory / "client-js"
        return built if (built / "dist/index.js").exists() else build_sdk(built)


def build_sdk(directory):
    """Copies the SDK's sources to a directory and builds it there."""
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("node_modules", "dist"))
    npm(directory, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    npm(directory, "run", "build")
    return directory


@contextlib.asynccontextmanager
async def running_peer(sdk, directory):
    """A process of clients of the built SDK, which does what it is asked; see `support.interop.NodePeer`."""
    package = directory / "node_modules/@artcafe/client"
    package.parent.mkdir(parents=True)
    package.symlink_to(sdk)
    (directory / "node_modules/@nats-io").symlink_to(sdk / "node_modules/@nats-io")
    shutil.copy(PEER, directory)
    command = ("node", "--no-warnings", *websocket_flags(), PEER.name)
    async with JsonProcess.running_command(*command, cwd=directory) as process:
        yield process
