"""A publisher straight at the broker: its text protocol over TCP, many messages a write."""

import asyncio
import json
import struct
import time
from contextlib import suppress

from bench.payload import SIZE, message
from bench.sockets import connect_line

BATCH = 200
STALL_S = 30
TICK_S = 0.002
_NUMBER = struct.Struct("!Q")


class Publisher:
    """One authenticated TCP connection."""

    @classmethod
    async def connect(cls, host, port, seed):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection(host, port)
        info = json.loads((await self.reader.readline())[5:])
        self.writer.write(connect_line(info, seed) + b"PING\r\n")
        while (answer := await self.reader.readline()) != b"PONG\r\n":
            if not answer or answer.startswith(b"-ERR"):
                raise ConnectionError(answer.decode() or "closed")
        self._pongs = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())
        return self

    async def _listen(self):
        while line := await self.reader.readline():
            if line == b"PING\r\n":
                self.writer.write(b"PONG\r\n")
            elif line == b"PONG\r\n":
                self._pongs.put_nowait(None)

    async def flush(self):
        self.writer.write(b"PING\r\n")
        await asyncio.wait_for(self._pongs.get(), STALL_S)

    async def close(self):
        self._listening.cancel()
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def windowed(self, subject, count, window, progress):
        """Publish `count` messages, never more than `window` ahead of the slowest subscriber."""
        head = b"PUB %b %d\r\n" % (subject.encode(), SIZE)
        began = time.monotonic_ns()
        sent = 0
        while sent < count:
            room = min(progress.received + window, count, sent + BATCH) - sent
            if room <= 0:
                await progress.news()
                continue
            at = time.monotonic_ns()
            self.writer.write(b"".join(head + message(sent + i, at) + b"\r\n" for i in range(room)))
            sent += room
            await self.writer.drain()
        return began

    async def paced(self, subject, rate, seconds):
        """Publish at a steady rate; how many that were."""
        head = b"PUB %b %d\r\n" % (subject.encode(), SIZE)
        began = time.monotonic()
        count = int(rate * seconds)
        for i in range(count):
            await asyncio.sleep(began + i / rate - time.monotonic())
            self.writer.write(head + message(i) + b"\r\n")
        await self.flush()
        return count


class Progress:
    """What the slowest subscriber has, as the load generator tells it over a unix socket."""

    def __init__(self):
        self.received = 0
        self._news = asyncio.Event()
        self._server = None

    async def listen(self, path):
        self._server = await asyncio.start_unix_server(self._hear, path)

    async def _hear(self, reader, writer):
        with suppress(asyncio.IncompleteReadError):
            while True:
                self.received = _NUMBER.unpack(await reader.readexactly(_NUMBER.size))[0]
                self._news.set()
        writer.close()

    def stop(self):
        self._server.close()

    async def news(self):
        self._news.clear()
        await asyncio.wait_for(self._news.wait(), STALL_S)


async def tell(path, peers):
    """Tell the publisher how far the slowest of `peers` is, until cancelled."""
    _, writer = await asyncio.open_unix_connection(path)
    told = 0
    try:
        while True:
            await asyncio.sleep(TICK_S if len(peers) < 500 else TICK_S * 3)
            least = min(peer.received for peer in peers)
            if least != told:
                told = least
                writer.write(_NUMBER.pack(least))
    finally:
        writer.close()
