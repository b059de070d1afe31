"""A process that answers requests, one line of JSON each; it ends when its input does."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import structlog

TESTS = Path(__file__).parent.parent
MAX_LINE = 1 << 24


class JsonProcess:
    """The side of the test: starts a module of `tests`, or another program, and sends it requests."""

    def __init__(self, process):
        self._process = process
        # One request at a time, so that each gets its own answer.
        self._lock = asyncio.Lock()

    @property
    def pid(self):
        return self._process.pid

    @classmethod
    def running(cls, module):
        return cls.running_command(sys.executable, "-m", module, env={**os.environ, "PYTHONPATH": str(TESTS)})

    @classmethod
    @contextlib.asynccontextmanager
    async def running_command(cls, *command, **options):
        """As `running`, for a program of any language that answers in the same way."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            # Its share of a busy machine is its own, not a part of the tests'.
            start_new_session=True,
            **options,
        )
        try:
            yield cls(process)
        finally:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def call(self, **request):
        """The answer to a request; AssertionError when the process has ended."""
        async with self._lock:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        assert line, "the process has ended"
        return json.loads(line)


async def serve(handle):
    """The side of the process: answer each request with `await handle(request)`."""
    # Standard output is for answers.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        print(json.dumps(await handle(json.loads(line))), flush=True)
