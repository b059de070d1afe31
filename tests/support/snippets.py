"""Runs the code blocks of documentation pages."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.cleanup import close_after_test

ROOT = Path(__file__).parents[2]
_SNIPPET = re.compile(r"<!-- test: (\S+) -->\n *```\w+\n(.*?)```", re.DOTALL)


def snippets(page):
    """The code blocks that a page marks with `<!-- test: NAME -->`, by name."""
    return dict(_SNIPPET.findall((ROOT / page).read_text()))


def install_snippets(page, directory, stack):
    """Writes the code blocks of a page next to the `.dev` directory of a stack."""
    (directory / ".dev").symlink_to(stack.directory)
    for name, text in snippets(page).items():
        (directory / name).write_text(text.replace("http://127.0.0.1:8000", stack.api))


async def start_program(*command, cwd, **options):
    """Starts a program that ends with the test; `artcafe` and Python are those of the tests."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ARTCAFE_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={
            **inherited,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(cwd / "config"),
        },
        stdout=asyncio.subprocess.PIPE,
        **options,
    )

    async def end():
        if process.returncode is None:
            process.kill()
        await process.wait()

    return close_after_test(process, end)


async def run_shell(name, *, cwd):
    """The output of a shell snippet; fails with the snippet."""
    shell = await start_program("bash", "-euo", "pipefail", name, cwd=cwd)
    output, _ = await asyncio.wait_for(shell.communicate(), 40)
    assert shell.returncode == 0, output
    return output.decode()


async def read_line(process):
    """The next line of a program's output."""
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


def install_node_modules(directory):
    """Installs the pinned packages of the Node.js tests into a directory."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests/e2e/clients/node" / name, directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
