"""Runs the code blocks of the page about signing: a direct message that they publish shows its sender."""

import asyncio
import json
import shutil
import sys

import pytest

from support.snippets import install_node_modules, snippets, start_program

PAGE = "docs/guide/signing.md"
needs_npm = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="needs node and npm, which are not installed"
)


async def _sender(tenant, directory, program):
    """The `from` of the message that a code block publishes, next to the endpoints of a stack, and the client's id."""
    author, listener = await tenant.create_client(), await tenant.create_client()
    socket = await listener.connect_websocket()
    await socket.subscribe(subject="orders.new")
    endpoints = {
        "nats": tenant.stack.endpoints["nats"],
        "tenant_id": tenant.id,
        "client": {"client_id": author.id, "nkey_seed": author.seed},
    }
    (directory / ".dev").mkdir()
    (directory / ".dev/endpoints.json").write_text(json.dumps(endpoints))
    (directory / program[-1]).write_text(snippets(PAGE)[program[-1]])
    process = await start_program(*program, cwd=directory)
    message = await socket.receive("message", within=20)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    return message["from"], author.id


async def test_python(tenant, tmp_path):
    sender, author = await _sender(tenant, tmp_path, (sys.executable, "signed.py"))
    assert sender == author


@pytest.mark.node
@needs_npm
async def test_javascript(tenant, tmp_path):
    install_node_modules(tmp_path)
    sender, author = await _sender(tenant, tmp_path, ("node", "signed.mjs"))
    assert sender == author
