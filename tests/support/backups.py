"""Runs `artcafe backup` and `artcafe restore` against a stack."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pyrage

from support.cli import Terminal
from support.snippets import snippets

PAGE = "docs/operate/backup.md"


class BackupTerminal(Terminal):
    """A terminal on the operator's host of a stack, which can also decrypt backups of its keys."""

    def __init__(self, stack, directory, **environ):
        directory.mkdir(exist_ok=True)
        self.stack = stack
        self.backups = directory / "backups"
        identity = pyrage.x25519.Identity.generate()
        key = directory / "identity.txt"
        key.write_text(f"# a comment, as age-keygen writes one\n{identity}\n")
        super().__init__(
            directory,
            **{
                **stack.environ(),
                "ARTCAFE_BACKUP_DIR": str(self.backups),
                "ARTCAFE_BACKUP_RECIPIENT": str(identity.to_public()),
                "ARTCAFE_BACKUP_IDENTITY_FILE": str(key),
                **environ,
            },
        )

    async def succeed(self, *words, **environ):
        """Run a command that must succeed; returns its output."""
        result = await self.run(*words, **environ)
        assert result.code == 0, (result.out, result.err)
        return result.out

    async def fail(self, *words, code=1, **environ):
        """Run a command that must fail with one line; returns the line."""
        result = await self.run(*words, **environ)
        assert result.code == code, (result.code, result.out, result.err)
        assert result.err.count("\n") == 1, result.err
        return result.err

    async def run_documented(self, name, page=PAGE, **environ):
        """Run a block of commands of the documentation; returns its output."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", snippets(page)[name]),
            env={**self.environ, "PATH": path, **{key: str(value) for key, value in environ.items()}},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, output
        return output.decode()

    async def back_up(self, *parts):
        """Make a backup of these parts, by default of all; returns its directory."""
        only = [word for part in parts for word in ("--only", part)]
        created = await self.run_json("backup", *only)
        return self.backups / created["name"]

    async def lose(self, server):
        """Stop nats or redis, and remove its files."""
        await self.stack.supervisor.stop(server)
        data = self.stack.directory / "data" / server
        shutil.rmtree(data)
        data.mkdir()
