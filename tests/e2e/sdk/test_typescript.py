"""The tests of the TypeScript SDK against the real stack, the size of its build, and the examples of its guide."""

import asyncio
import gzip
import os
import re

import httpx
import pytest

from support.node_sdk import SOURCE, missing_node, npm, websocket_flags
from support.snippets import install_snippets, snippets, start_program

PAGE = "docs/guide/typescript.md"
OUTPUTS = {
    "orders.mjs": "orders.new { n: 1 }\n",
    "news.mjs": "1 We are closed.\n",
    "answer.mjs": "42\n",
    "errors.mjs": "forbidden_subject\n",
    "states.mjs": "connecting\nconnected\ndraining\nclosed\n",
}
MAX_GZIP_BYTES = 15_000
REASON = missing_node()
pytestmark = [pytest.mark.node, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


async def test_suite_passes(sdk, tenant):
    environment = {
        **os.environ,
        "ARTCAFE_TEST_API": tenant.stack.api,
        "ARTCAFE_TEST_TOKEN": tenant.owner.token,
        "ARTCAFE_TEST_TENANT": tenant.id,
    }
    output = await asyncio.to_thread(npm, sdk, "test", environment=environment)
    assert "skipped" not in output, output


def test_browser_build_is_small(sdk):
    # The entry, and what it shares with the package's other entries.
    files, left = set(), ["index.js"]
    while left:
        file = sdk / "dist" / left.pop()
        files.add(file)
        imported = re.findall(r'from\s*"\./([\w.-]+\.js)"', file.read_text())
        left += [name for name in imported if sdk / "dist" / name not in files]
    size = sum(len(gzip.compress(file.read_bytes())) for file in files)
    print(f"the browser build of @artcafe/client: {size / 1000:.1f} kB gzip")
    assert size <= MAX_GZIP_BYTES


def test_snippets_are_marked():
    # The component is shown in a browser, by `test_browser`.
    assert snippets(PAGE).keys() == OUTPUTS.keys() | {"board.jsx"}


@pytest.mark.parametrize("name", OUTPUTS)
async def test_example_prints_what_it_says(sdk, stack, tmp_path, name):
    install_snippets(PAGE, tmp_path, stack)
    package = tmp_path / "node_modules/@artcafe/client"
    package.parent.mkdir(parents=True)
    package.symlink_to(sdk)
    arguments = [await _create_channel(stack)] if name == "news.mjs" else []
    command = ["node", "--no-warnings", *websocket_flags(), name, *arguments]
    program = await start_program(*command, cwd=tmp_path)
    output, _ = await asyncio.wait_for(program.communicate(), 20)
    assert (program.returncode, output.decode()) == (0, OUTPUTS[name])


def test_package_lock_contains_no_registry_url():
    assert '"resolved"' not in (SOURCE / "package-lock.json").read_text()


async def _create_channel(stack):
    headers = {"Authorization": f"Bearer {stack.endpoints['token']}"}
    async with httpx.AsyncClient(base_url=stack.api, headers=headers) as http:
        created = await http.post("/api/v1/channels", json={"name": "typescript"})
        assert created.status_code == 201, created.text
        return created.json()["channel_id"]
