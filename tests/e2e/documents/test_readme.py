"""The README's first message, run as it is written, and the page for browsers beside it."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.cleanup import close_after_test

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- test: (\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL))


@pytest.fixture
def place(stack, tmp_path):
    """A directory where `.dev` is the stack's, as beside a README whose `make dev` runs."""
    (tmp_path / ".dev").symlink_to(stack.directory)
    for name, text in SNIPPETS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


async def start(*command, cwd, **options):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        **options,
    )

    async def end():
        if process.returncode is None:
            process.kill()
        await process.wait()

    return close_after_test(process, end)


async def line(process):
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


def test_the_snippets_are_found():
    assert SNIPPETS.keys() == {"shell", "receive.py", "send.py"}


async def test_a_message_from_websocket_to_nats(stack, place):
    receiver = await start(sys.executable, "receive.py", cwd=place)
    assert await line(receiver) == "listening"
    sender = await start(sys.executable, "send.py", cwd=place)
    assert await line(sender) == "welcome"
    assert await line(sender) == "published"
    assert await line(receiver) == f'{stack.endpoints["tenant_id"]}.hello {{"n": 1}}'
    assert await sender.wait() == 0
    assert await receiver.wait() == 0


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl, which is not installed")
async def test_the_shell_makes_a_client(stack, place):
    text = SNIPPETS["shell"]
    assert "http://127.0.0.1:8000" in text
    shell = await start(
        "bash", "-euo", "pipefail", "-c", text.replace("http://127.0.0.1:8000", stack.api), cwd=place
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 30)
    assert shell.returncode == 0
    decoder = json.JSONDecoder()
    made, end = decoder.raw_decode(output.decode())
    listed, _ = decoder.raw_decode(output.decode()[end:].lstrip())
    assert made["nkey_seed"].startswith("SU")
    assert made["client"]["client_id"] in [client["client_id"] for client in listed["clients"]]


@pytest.mark.node
@pytest.mark.skipif(not shutil.which("node"), reason="needs node, which is not installed")
async def test_the_page_for_browsers(tenant):
    robot, listener = await tenant.create_client("browser"), await tenant.create_client("listener")
    ws = await listener.connect_websocket()
    await ws.subscribe(subject="hello")
    told = {
        "page": str(ROOT / "docs/guide/browser.html"),
        "url": robot.connection["websocket_url"],
        "seed": robot.seed,
    }
    flags = [] if _has_websocket() else ["--experimental-websocket"]
    page = await start(
        *("node", "--no-warnings", *flags, "browser.js", json.dumps(told)),
        cwd=ROOT / "tests/e2e/clients/node",
        stdin=subprocess.PIPE,
    )
    assert json.loads(await line(page))["type"] == "welcome"
    assert json.loads(await line(page)) == {"type": "subscribed", "subject": "hello"}
    page.stdin.write(b"send\n")
    message = await ws.receive("message")
    assert message["data"] == {"from": "a browser"}
    assert message["from"] == robot.id
    assert {json.loads(await line(page))["type"] for _ in range(2)} == {"published", "message"}
    page.stdin.close()
    assert await asyncio.wait_for(page.wait(), 5) == 0


def _has_websocket():
    told = subprocess.run(
        ["node", "-p", "typeof WebSocket"], capture_output=True, text=True, check=True, timeout=20
    )
    return told.stdout.strip() == "function"
