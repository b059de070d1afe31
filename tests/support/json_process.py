"""A Python process that answers requests, one line of JSON each; it ends when its input does."""

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
    """The side of the test: starts a module of `tests`, and sends it requests."""

    def __init__(self, process):
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, module):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            limit=MAX_LINE,
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
