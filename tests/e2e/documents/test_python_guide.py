"""Runs every code block of the Python SDK's guide."""

import asyncio
import sys

import httpx
import pytest

from support.snippets import install_snippets, snippets, start_program

PAGE = "docs/guide/python.md"
OUTPUTS = {
    "orders.py": "orders.new {'n': 1}\n",
    "news.py": "1 We are closed.\n",
    "answer.py": "42\n",
    "presence.py": "connected nats\n",
    "threads.py": "{'n': 2}\n",
    "errors.py": "forbidden_subject\n",
}


@pytest.fixture
def directory(stack, tmp_path):
    """A directory with the guide's code blocks, as if `make dev` ran there."""
    install_snippets(PAGE, tmp_path, stack)
    return tmp_path


async def create_channel(stack):
    """A channel of the demo organization; returns its id."""
    headers = {"Authorization": f"Bearer {stack.endpoints['token']}"}
    async with httpx.AsyncClient(base_url=stack.api, headers=headers) as http:
        created = await http.post("/api/v1/channels", json={"name": "guide"})
        assert created.status_code == 201, created.text
        return created.json()["channel_id"]


def test_snippets_are_marked():
    assert snippets(PAGE).keys() == {*OUTPUTS, "test_counter.py"}


@pytest.mark.parametrize("name", OUTPUTS)
async def test_example_prints_what_it_says(stack, directory, name):
    arguments = [await create_channel(stack)] if name == "news.py" else []
    program = await start_program(sys.executable, name, *arguments, cwd=directory)
    output, _ = await asyncio.wait_for(program.communicate(), 20)
    assert (program.returncode, output.decode()) == (0, OUTPUTS[name])


async def test_example_of_a_test_passes(directory):
    program = await start_program(
        sys.executable, "-c", "import test_counter; test_counter.test_orders_are_counted()", cwd=directory
    )
    output, _ = await asyncio.wait_for(program.communicate(), 20)
    assert (program.returncode, output) == (0, b"")
