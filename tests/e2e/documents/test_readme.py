"""Runs the README's first message as it is written."""

import sys

import pytest

from support.snippets import install_snippets, read_line, run_shell, snippets, start_program

PAGE = "README.md"


@pytest.fixture
def directory(stack, tmp_path):
    """A directory with the README's code blocks, as if `make dev` ran there."""
    install_snippets(PAGE, tmp_path, stack)
    return tmp_path


def test_snippets_are_marked():
    assert snippets(PAGE).keys() == {"shell", "receive.py", "send"}


async def test_first_message_in_three_steps(directory):
    created = await run_shell("shell", cwd=directory)
    assert "my first agent" in created
    receiver = await start_program(sys.executable, "receive.py", cwd=directory)
    assert await read_line(receiver) == "listening over nats"
    await run_shell("send", cwd=directory)
    assert await read_line(receiver) == "hello {'n': 1}"
    assert await receiver.wait() == 0
