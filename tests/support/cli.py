"""Runs the `artcafe` command as a subprocess."""

import asyncio
import contextlib
import json
import os
import re
import signal
import stat
import sys
from pathlib import Path

from support.actors import PASSWORD
from support.cleanup import close_after_test

ARTCAFE = str(Path(sys.executable).parent / "artcafe")
TIMEOUT_S = 40


class CommandResult:
    """The exit code and output of a command."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        """One JSON object per line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """A working directory and environment in which `artcafe` runs, with its own configuration."""

    def __init__(self, directory, **environ):
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.config = directory / "config"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ARTCAFE_", "AWS_"))}
        self.environ = {**inherited, "XDG_CONFIG_HOME": str(self.config), "COLUMNS": "200", **environ}

    @classmethod
    async def signed_in(cls, tenant, directory):
        """Logged in as the owner of an organization, with that organization selected."""
        terminal = cls(directory, ARTCAFE_API=tenant.stack.api)
        login = await terminal.run("login", tenant.owner.email, ARTCAFE_PASSWORD=PASSWORD)
        assert login.code == 0, login.err
        use = await terminal.run("accounts", "use", tenant.id)
        assert use.code == 0, use.err
        return terminal

    @property
    def session_file(self):
        return self.config / "artcafe" / "session.json"

    async def start(self, *words, **environ):
        """Start a command; returns a `RunningCommand`."""
        process = await asyncio.create_subprocess_exec(
            ARTCAFE,
            *map(str, words),
            cwd=self.directory,
            env={**self.environ, **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

        async def kill():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

        return close_after_test(RunningCommand(process), kill)

    async def run(self, *words, stdin="", **environ):
        """Run a command and wait for its end."""
        command = await self.start(*words, **environ)
        return await command.wait(stdin)

    async def run_json(self, *words, **options):
        """Run a command that must succeed; returns the JSON document that it prints."""
        result = await self.run(*words, "--json", **options)
        assert result.code == 0, result.err
        assert result.out.count("\n") == 1
        return result.json


class RunningCommand:
    """A command that is still running."""

    def __init__(self, process):
        self.process = process
        self.stderr_text = ""

    async def wait_for_stderr(self, text):
        """Wait until standard error contains a text."""
        async with asyncio.timeout(TIMEOUT_S):
            while text not in self.stderr_text:
                line = await self.process.stderr.readline()
                assert line, f"the command ended; its standard error: {self.stderr_text}"
                self.stderr_text += line.decode()
        return self

    async def wait_for_stdout(self, text):
        """Read standard output up to the line that contains a text."""
        async with asyncio.timeout(TIMEOUT_S):
            while text not in (line := await self.process.stdout.readline()).decode():
                assert line, f"the command ended without {text}"

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    async def wait(self, stdin=""):
        """Wait for the end; returns a `CommandResult`."""
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await self.process.communicate(stdin.encode())
        result = CommandResult(self.process.returncode, out.decode(), self.stderr_text + err.decode())
        assert "Traceback" not in result.err
        return result


def assert_error_line(result, code):
    """Assert that a command printed one line with the API's error code and the request id."""
    assert result.out == ""
    assert re.fullmatch(rf"artcafe: .+ \({code}, request \w+\)\n", result.err), result.err


def client_environ(client):
    """The environment variables with which `pub` and `sub` act as a client."""
    return {"ARTCAFE_SEED": client.seed, "ARTCAFE_NATS_URL": client.connection["nats_url"]}


def file_mode(path):
    return stat.S_IMODE(path.stat().st_mode)
