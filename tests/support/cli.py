"""The real `artcafe` command, as a person or a program runs it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from support.actors import PASSWORD, closing

ARTCAFE = str(Path(sys.executable).parent / "artcafe")
ENDS_WITHIN_S = 40


class Ended:
    """What a command left behind."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        """One JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """A place with a configuration of its own; `artcafe` runs there."""

    def __init__(self, directory, **environ):
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.config = directory / "config"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ARTCAFE_", "AWS_"))}
        self.environ = {**kept, "XDG_CONFIG_HOME": str(self.config), "COLUMNS": "200", **environ}

    @classmethod
    async def of(cls, tenant, directory):
        """Signed in as a tenant's founder, acting for that tenant."""
        here = cls(directory, ARTCAFE_API=tenant.stack.api)
        done = await here.run("login", tenant.owner.email, ARTCAFE_PASSWORD=PASSWORD)
        assert done.code == 0, done.err
        done = await here.run("accounts", "use", tenant.id)
        assert done.code == 0, done.err
        return here

    @property
    def session(self):
        return self.config / "artcafe" / "session.json"

    async def start(self, *words, **environ):
        """A command that runs on."""
        process = await asyncio.create_subprocess_exec(
            ARTCAFE,
            *map(str, words),
            cwd=self.directory,
            env={**self.environ, **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

        async def end():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

        return closing(Running(process), end)

    async def run(self, *words, stdin="", **environ):
        """A command, to its end."""
        running = await self.start(*words, **environ)
        return await running.ended(stdin)

    async def answer(self, *words, **options):
        """The JSON document of a command that succeeds."""
        done = await self.run(*words, "--json", **options)
        assert done.code == 0, done.err
        assert done.out.count("\n") == 1
        return done.json


class Running:
    """A command that has not ended yet."""

    def __init__(self, process):
        self.process = process
        self.told = ""

    async def says(self, text):
        """Wait until it says so on standard error."""
        async with asyncio.timeout(ENDS_WITHIN_S):
            while text not in self.told:
                line = await self.process.stderr.readline()
                assert line, f"it ended and said: {self.told}"
                self.told += line.decode()
        return self

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    async def ended(self, stdin=""):
        async with asyncio.timeout(ENDS_WITHIN_S):
            out, err = await self.process.communicate(stdin.encode())
        done = Ended(self.process.returncode, out.decode(), self.told + err.decode())
        assert "Traceback" not in done.err
        return done
