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
async def test_completion_script_completes_commands(tmp_path, shell):
    terminal = Terminal(tmp_path)
    result = await terminal.run("completion", shell)
    assert result.code == 0
    assert "_ARTCAFE_COMPLETE" in result.out
    if shell == "bash":
        script = f'{result.out}\nCOMP_WORDS=(artcafe clients re); COMP_CWORD=2; _artcafe_completion artcafe; echo "${{COMPREPLY[@]}}"'
        path = f"{Path(ARTCAFE).parent}{os.pathsep}{os.environ['PATH']}"
        completed = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            env={**terminal.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert completed.stdout.split() == ["regenerate", "resume"], completed.stderr


def test_help_imports_no_heavy_modules():
    """Help and completion must be fast; a command imports what it needs when it runs."""
    heavy = ("httpx", "websockets", "nats", "aiobotocore", "botocore", "redis", "structlog", "rich")
    code = f"import sys, artcafe_common.cli.__main__; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert result.stdout.strip() == "[]"


async def test_examples_of_the_documentation_work(stack, tmp_path):
    (tmp_path / ".dev").symlink_to(stack.directory)
    terminal = Terminal(tmp_path)
    assert SNIPPETS
    path = f"{Path(ARTCAFE).parent}{os.pathsep}{os.environ['PATH']}"
    result = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", "\n".join(SNIPPETS)],
        cwd=tmp_path,
        env={**terminal.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "hello from a shell" in result.stdout
