"""Worker jobs of the rows about logins, a slow reader and reconnecting sockets."""

import asyncio
import base64
import json
import os
import random
import socket
import struct
import time
from collections import Counter
from contextlib import suppress

from picows import WSError

from bench.publisher import Publisher
from bench.sockets import ConnectionEnded, connect, key_pair

SLOW_READ_BYTES = 256
SLOW_READ_INTERVAL_S = 0.25
SMALL_BUFFER = 16 * 1024
# As the SDKs: a random pause, up to a bound that doubles.
FIRST_RETRY_S, MAX_RETRY_S = 0.5, 5.0


async def connect_nats(port, agents, count, concurrency):
    """Log in at the broker with NKeys; each login is one auth callout."""
    limit = asyncio.Semaphore(concurrency)

    async def connect_one(i):
        async with limit:
            return await Publisher.connect("127.0.0.1", port, agents[i % len(agents)]["seed"])

    began = time.monotonic()
    results = await asyncio.gather(*(connect_one(i) for i in range(count)), return_exceptions=True)
    seconds = time.monotonic() - began
    opened = [each for each in results if not isinstance(each, BaseException)]
    errors = [repr(each) for each in results if isinstance(each, BaseException)]
    await asyncio.gather(*(each.close() for each in opened))
    return {"seconds": seconds, "open": len(opened), "failed": len(errors), "errors": errors[:1]}


class RawWebSocket:
    """A WebSocket without a background reader: the caller decides when to read from the kernel."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port, agent, subject):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        self = cls(*await asyncio.open_connection(sock=sock, limit=1024))
        self.writer.write(
            b"GET /ws/client/%b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
            % (agent["id"].encode(), base64.b64encode(os.urandom(16)))
        )
        while await self.reader.readline() != b"\r\n":
            pass
        nonce = json.loads((await self.read_frame())[1])["nonce"]
        key = key_pair(agent["seed"])
        signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).decode()
        self.send_frame(type="auth", nkey=key.public, signature=signature)
        await self.read_frame()
        self.send_frame(type="subscribe", subject=subject)
        await self.read_frame()
        return self

    def send_frame(self, **frame):
        # An all-zero masking key is valid and leaves the payload unchanged.
        data = json.dumps(frame).encode()
        self.writer.write(struct.pack("!BBH4x", 0x81, 0xFE, len(data)) + data)

    async def read_frame(self):
        opcode, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return opcode & 15, await self.reader.readexactly(size)


_slow_reader = {}


async def open_slow_reader(port, agent, subject):
    """Open a subscriber that reads 1 KB/s."""
    _slow_reader["socket"] = await RawWebSocket.open(port, agent, subject)
    _slow_reader["task"] = asyncio.create_task(_read_slowly(_slow_reader["socket"]))


async def _read_slowly(raw):
    received = bytearray()
    while not _slow_reader.get("drain") and not raw.reader.at_eof():
        received += await raw.reader.read(SLOW_READ_BYTES)
        await asyncio.sleep(SLOW_READ_INTERVAL_S)
    # Then read the rest at full speed: the close frame is at its end, if the gateway sent one.
    with suppress(OSError):
        while chunk := await raw.reader.read(1 << 16):
            received += chunk
    return bytes(received)


async def close_slow_reader():
    """Read the rest; returns the code of the close frame, or None."""
    _slow_reader["drain"] = True
    try:
        received = await asyncio.wait_for(_slow_reader.pop("task"), 10)
    except (TimeoutError, OSError):
        received = b""
    raw = _slow_reader.pop("socket")
    raw.writer.close()
    _slow_reader.clear()
    at = received.rfind(b"\x88")
    code = int.from_bytes(received[at + 2 : at + 4], "big") if at >= 0 else None
    return {"code": code, "read": len(received)}


async def churn(url, tenant_id, agents, slots, seconds, concurrency):
    """`slots` tasks that each connect, stay for up to 20 s, disconnect and start again."""
    limit = asyncio.Semaphore(concurrency)
    until = time.monotonic() + seconds
    counts = {"connected": 0, "failed": 0}

    async def run_slot(i):
        await asyncio.sleep(random.random() * min(10, seconds / 4))
        while time.monotonic() < until:
            try:
                async with limit:
                    if time.monotonic() >= until:
                        return
                    peer = await connect("gateway", url, tenant_id, agents[i % len(agents)], "soak")
            except (ConnectionEnded, OSError, TimeoutError) as error:
                counts["failed"] += 1
                counts["error"] = repr(error)
                continue
            counts["connected"] += 1
            await asyncio.sleep(min(random.uniform(1, 20), max(0, until - time.monotonic())))
            with suppress(TimeoutError):
                await asyncio.wait_for(peer.close(), 10)

    await asyncio.gather(*(run_slot(i) for i in range(slots)))
    return counts


_storm = []


async def connect_all(url, tenant_id, agents, count):
    """Open `count` connections at once; each is tried until it succeeds.

    Returns the seconds until the last one is open, and the number of attempts that failed.
    """
    failed = Counter()
    began = time.monotonic()

    async def connect_one(i):
        pause_s = FIRST_RETRY_S
        while True:
            try:
                _storm.append(await connect("gateway", url, tenant_id, agents[i % len(agents)]))
            except (ConnectionEnded, OSError, TimeoutError, WSError) as error:
                failed[type(error).__name__] += 1
                await asyncio.sleep(random.random() * pause_s)
                pause_s = min(2 * pause_s, MAX_RETRY_S)
            else:
                return

    await asyncio.gather(*map(connect_one, range(count)))
    return {"seconds": time.monotonic() - began, "failed": failed.total(), "errors": dict(failed)}


async def leave_all():
    """Close the connections of `connect_all`."""
    peers, _storm[:] = _storm[:], []
    await asyncio.gather(*(peer.close() for peer in peers))


JOBS = {
    "connect_all": connect_all,
    "leave_all": leave_all,
    "connect_nats": connect_nats,
    "open_slow_reader": open_slow_reader,
    "close_slow_reader": close_slow_reader,
    "churn": churn,
}
