"""NATS servers for tests of one client: a real one without accounts, and one that follows a script."""

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path

from support.raw_nats import RawNats
from support.waiting import eventually

INFO = {"server_id": "S", "version": "2.11.0", "headers": True, "max_payload": 1024 * 1024, "proto": 1}


@contextlib.asynccontextmanager
async def running_nats_server(*options):
    """A nats-server without authentication; yields its process, with `url` and `port`."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "nats-server"),
        *("-a", "127.0.0.1", "-p", str(port), *options),
        stderr=asyncio.subprocess.DEVNULL,
    )
    process.port, process.url = port, f"nats://127.0.0.1:{port}"
    try:

        async def accepts():
            with contextlib.suppress(OSError):
                async with await RawNats.open("127.0.0.1", port) as raw:
                    return raw.info

        await eventually(accepts)
        yield process
    finally:
        process.kill()
        await process.wait()


class ScriptedServer:
    """Accepts connections, answers their handshake, and records what they write; answers PING while `answers`."""

    def __init__(self):
        self.connections = []
        self.answers = True
        self._changed = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls):
        scripted = cls()
        server = await asyncio.start_server(scripted._serve, "127.0.0.1", 0)
        scripted.url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield scripted
        finally:
            server.close()
            for connection in scripted.connections:
                connection.writer.transport.abort()

    async def _serve(self, reader, writer):
        connection = ScriptedConnection(writer)
        writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        await reader.readline()  # CONNECT
        assert await reader.readline() == b"PING\r\n"
        writer.write(b"PONG\r\n")
        self.connections.append(connection)
        self._changed.set()
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                connection.lines.append(line)
                if line == b"PING\r\n" and self.answers:
                    writer.write(b"PONG\r\n")
        writer.transport.abort()

    async def wait_for_connections(self, count, within):
        """The connection with this number, once it is there."""
        async with asyncio.timeout(within):
            while len(self.connections) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.connections[count - 1]


class ScriptedConnection:
    """One connection to the scripted server; `lines` are what it received after the handshake."""

    def __init__(self, writer):
        self.writer = writer
        self.lines = []

    def write(self, data):
        self.writer.write(data)

    def end(self):
        self.writer.transport.abort()
