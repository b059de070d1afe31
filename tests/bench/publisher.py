"""A NATS publisher on a raw TCP connection, with many messages per write."""

import asyncio
import json
import struct
import time
from contextlib import suppress

from bench.payload import SIZE, build_message
from bench.sockets import ConnectionEnded, build_connect, connect

BATCH = 200
STALL_TIMEOUT_S = 30
REPORT_INTERVAL_S = 0.002
# With few messages in flight, the publisher must not wait for the report.
SHORT_REPORT_INTERVAL_S = 0.0002
_NUMBER = struct.Struct("!Q")


class Publisher:
    """One authenticated TCP connection."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._pongs = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, host, port, seed):
        reader, writer = await asyncio.open_connection(host, port)
        info = json.loads((await reader.readline())[5:])
        writer.write(build_connect(info, seed) + b"PING\r\n")
        while (line := await reader.readline()) != b"PONG\r\n":
            if not line or line.startswith(b"-ERR"):
                raise ConnectionError(line.decode() or "closed")
        return cls(reader, writer)

    async def _read(self):
        while line := await self._reader.readline():
            if line == b"PING\r\n":
                self._writer.write(b"PONG\r\n")
            elif line == b"PONG\r\n":
                self._pongs.put_nowait(None)

    async def publish(self, subject, messages):
        """Write messages, joined into one write."""
        head = b"PUB %b %d\r\n" % (subject.encode(), SIZE)
        self._writer.write(b"".join(head + each + b"\r\n" for each in messages))
        await self._writer.drain()

    async def flush(self):
        self._writer.write(b"PING\r\n")
        await asyncio.wait_for(self._pongs.get(), STALL_TIMEOUT_S)

    async def close(self):
        self._reading.cancel()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def publish_windowed(self, subject, count, window, progress):
        """Publish `count` messages, at most `window` ahead of the slowest subscriber.

        Returns the start time in nanoseconds.
        """
        began = time.monotonic_ns()
        sent = 0
        while sent < count:
            room = min(progress.received + window, count, sent + BATCH) - sent
            if room <= 0:
                await progress.wait()
                continue
            now = time.monotonic_ns()
            await self.publish(subject, [build_message(sent + i, now) for i in range(room)])
            sent += room
        return began

    async def publish_paced(self, subject, rate, seconds):
        """Publish at a steady rate; returns the number of messages."""
        began = time.monotonic()
        count = int(rate * seconds)
        for i in range(count):
            await asyncio.sleep(began + i / rate - time.monotonic())
            await self.publish(subject, [build_message(i)])
        await self.flush()
        return count


class CentrifugoPublisher(Publisher):
    """A client of Centrifugo that publishes over its WebSocket."""

    def __init__(self, peer):
        self._peer = peer

    async def publish(self, subject, messages):
        self._peer.publish_to(subject, messages)
        await self._peer.writable.wait()

    async def flush(self):
        await self._peer.flush()

    async def close(self):
        # Centrifugo drops the messages of a connection that ends before it has handled them.
        with suppress(ConnectionEnded, TimeoutError):
            await self.flush()
        await self._peer.close()


async def open_publisher(*, port=None, seed=None, websocket=None, agent=None):
    """A publisher to a broker, or to Centrifugo if `websocket` is given."""
    if websocket is None:
        return await Publisher.connect("127.0.0.1", port, seed)
    return CentrifugoPublisher(await connect("centrifugo", websocket, None, agent))


class Progress:
    """How many messages the slowest subscriber has, reported by the load generator over a Unix socket."""

    def __init__(self):
        self.received = 0
        self._changed = asyncio.Event()
        self._server = None

    async def listen(self, path):
        self._server = await asyncio.start_unix_server(self._read, path)

    async def _read(self, reader, writer):
        with suppress(asyncio.IncompleteReadError):
            while True:
                self.received = _NUMBER.unpack(await reader.readexactly(_NUMBER.size))[0]
                self._changed.set()
        writer.close()

    def stop(self):
        self._server.close()

    async def wait(self):
        self._changed.clear()
        await asyncio.wait_for(self._changed.wait(), STALL_TIMEOUT_S)


async def report_progress(path, peers, *, often=False):
    """Report the count of the slowest peer to the publisher until cancelled."""
    interval = REPORT_INTERVAL_S if len(peers) < 500 else REPORT_INTERVAL_S * 3
    _, writer = await asyncio.open_unix_connection(path)
    reported = 0
    try:
        while True:
            await asyncio.sleep(SHORT_REPORT_INTERVAL_S if often else interval)
            slowest = min(peer.received for peer in peers)
            if slowest != reported:
                reported = slowest
                writer.write(_NUMBER.pack(slowest))
    finally:
        writer.close()
