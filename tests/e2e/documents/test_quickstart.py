"""Runs the code blocks of the quickstart, and the browser page next to it."""

import asyncio
import json
import shutil
import subprocess
import sys

import pytest

from support.snippets import (
    ROOT,
    install_node_modules,
    install_snippets,
    read_line,
    run_shell,
    snippets,
    start_program,
)
from support.waiting import eventually

PAGE = "docs/guide/quickstart.md"
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl, which is not installed")
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="needs node, which is not installed")
needs_npm = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="needs node and npm, which are not installed"
)


@pytest.fixture
def directory(stack, tmp_path):
    """A directory with the quickstart's code blocks, as if `make dev` ran there."""
    install_snippets(PAGE, tmp_path, stack)
    return tmp_path


def test_snippets_are_marked():
    assert snippets(PAGE).keys() == {"client.sh", "orders.py", "orders.mjs", "channel.sh"}
    assert "http://127.0.0.1:8000" in snippets(PAGE)["client.sh"]


@needs_curl
async def test_curl_creates_a_client(directory):
    output = await run_shell("client.sh", cwd=directory)
    decoder = json.JSONDecoder()
    created, end = decoder.raw_decode(output)
    listed, _ = decoder.raw_decode(output[end:].lstrip())
    assert created["nkey_seed"].startswith("SU")
    if is_listed(created, listed):
        return
    login, _, list_clients = (directory / "client.sh").read_text().split("\n\n")
    (directory / "list.sh").write_text(f"{login}\n\n{list_clients}")

    async def follows():
        return is_listed(created, json.loads(await run_shell("list.sh", cwd=directory)))

    await eventually(follows)


def is_listed(created, listed):
    return created["client"]["client_id"] in [client["client_id"] for client in listed["clients"]]


@needs_curl
async def test_curl_publishes_to_a_channel_and_reads_its_history(directory):
    output = await run_shell("channel.sh", cwd=directory)
    decoder = json.JSONDecoder()
    published, end = decoder.raw_decode(output)
    history, _ = decoder.raw_decode(output[end:].lstrip())
    (message,) = history["messages"]
    assert message["data"] == {"text": "We are open."}
    assert message["seq"] == published["seq"]


async def test_python_over_websocket(directory):
    program = await start_program(sys.executable, "orders.py", cwd=directory)
    lines = [await read_line(program) for _ in range(5)]
    assert lines[:3] == ["challenge", "welcome", "subscribed"]
    assert set(lines[3:]) == {"published", "message {'n': 1}"}
    assert await program.wait() == 0


@pytest.mark.node
@needs_npm
async def test_javascript_over_nats(stack, directory):
    install_node_modules(directory)
    program = await start_program("node", "orders.mjs", cwd=directory)
    assert await read_line(program) == f'{stack.endpoints["tenant_id"]}.orders.new {{"n":2}}'
    assert await asyncio.wait_for(program.wait(), 5) == 0


@pytest.mark.node
@needs_node
async def test_browser_page(tenant, tmp_path):
    robot, listener = await tenant.create_client("browser"), await tenant.create_client("listener")
    ws = await listener.connect_websocket()
    await ws.subscribe(subject="hello")
    options = {
        "page": str(ROOT / "docs/guide/browser.html"),
        "url": robot.connection["websocket_url"],
        "seed": robot.seed,
    }
    flags = [] if _has_websocket() else ["--experimental-websocket"]
    script = ROOT / "tests/e2e/clients/node/browser.js"
    page = await start_program(
        *("node", "--no-warnings", *flags, str(script), json.dumps(options)),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
    )
    assert json.loads(await read_line(page))["type"] == "welcome"
    assert json.loads(await read_line(page)) == {"type": "subscribed", "subject": "hello"}
    page.stdin.write(b"send\n")
    message = await ws.receive("message")
    assert message["data"] == {"from": "a browser"}
    assert message["from"] == robot.id
    assert {json.loads(await read_line(page))["type"] for _ in range(2)} == {"published", "message"}
    page.stdin.close()
    assert await asyncio.wait_for(page.wait(), 5) == 0


def _has_websocket():
    done = subprocess.run(
        ["node", "-p", "typeof WebSocket"], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip() == "function"
