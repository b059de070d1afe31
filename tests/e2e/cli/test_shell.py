"""Shell completion, help, and the examples of docs/reference/cli.md."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import ARTCAFE, Terminal

ROOT = Path(__file__).parents[3]
SNIPPETS = re.findall(
    r"<!-- test -->\n```sh\n(.*?)```", (ROOT / "docs/reference/cli.md").read_text(), re.DOTALL
)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion(tmp_path, shell):
    terminal = Terminal(tmp_path)
    done = await terminal.run("completion", shell)
    assert done.code == 0
    assert "_ARTCAFE_COMPLETE" in done.out
    if shell == "bash":
        script = f'{done.out}\nCOMP_WORDS=(artcafe clients re); COMP_CWORD=2; _artcafe_completion artcafe; echo "${{COMPREPLY[@]}}"'
        path = f"{Path(ARTCAFE).parent}{os.pathsep}{os.environ['PATH']}"
        told = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            env={**terminal.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert told.stdout.split() == ["regenerate"], told.stderr


def test_help_reads_little():
    """Help and completion are asked for all the time; what the commands need comes when they run."""
    heavy = ("httpx", "websockets", "nats", "aiobotocore", "botocore", "redis", "structlog", "rich")
    code = f"import sys, artcafe_common.cli.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_the_document_is_true(stack, tmp_path):
    (tmp_path / ".dev").symlink_to(stack.directory)
    terminal = Terminal(tmp_path)
    assert SNIPPETS
    path = f"{Path(ARTCAFE).parent}{os.pathsep}{os.environ['PATH']}"
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", "\n".join(SNIPPETS)],
        cwd=tmp_path,
        env={**terminal.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hello from a shell" in done.stdout
