"""What a worker does in the rows of logins, slow readers and comings and goings."""

import asyncio
import base64
import json
import os
import random
import socket
import struct
import time
from contextlib import suppress

from bench.broker import Publisher
from bench.sockets import Gone, connected, key_of

SIP_EVERY_S = 0.25
SMALL_BUFFER = 16 * 1024


async def connect_nats(port, agents, count, concurrency):
    """Log in at the broker with an NKey, which asks the auth callout each time."""
    gate = asyncio.Semaphore(concurrency)

    async def one(i):
        async with gate:
            return await Publisher.connect("127.0.0.1", port, agents[i % len(agents)]["seed"])

    began = time.monotonic()
    made = await asyncio.gather(*(one(i) for i in range(count)), return_exceptions=True)
    took = time.monotonic() - began
    good = [each for each in made if not isinstance(each, BaseException)]
    failed = [repr(each) for each in made if isinstance(each, BaseException)]
    await asyncio.gather(*(each.close() for each in good))
    return {"seconds": took, "open": len(good), "failed": len(failed), "why": failed[:1]}


class RawSocket:
    """A WebSocket whose reading is entirely in our hands."""

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
        nonce = json.loads((await self.frame())[1])["nonce"]
        key = key_of(agent["seed"])
        signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).decode()
        self.send(type="auth", nkey=key.public, signature=signature)
        await self.frame()
        self.send(type="subscribe", subject=subject)
        await self.frame()
        return self

    def send(self, **frame):
        # Masked with zeros, as the protocol permits.
        data = json.dumps(frame).encode()
        self.writer.write(struct.pack("!BBH4x", 0x81, 0xFE, len(data)) + data)

    async def frame(self):
        opcode, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return opcode & 15, await self.reader.readexactly(size)


_slow = {}


async def slow_open(port, agent, subject):
    """A subscriber that will hardly read."""
    _slow["socket"] = await RawSocket.open(port, agent, subject)
    _slow["task"] = asyncio.create_task(_sip(_slow["socket"]))


async def _sip(raw):
    held = bytearray()
    while not _slow.get("drain") and not raw.reader.at_eof():
        held += await raw.reader.read(256)
        await asyncio.sleep(SIP_EVERY_S)
    # The rest at full speed: the close frame stands at its end, if it was let out.
    with suppress(OSError):
        while some := await raw.reader.read(1 << 16):
            held += some
    return bytes(held)


async def slow_end():
    """Read the rest; the code of the close frame, if there is one."""
    _slow["drain"] = True
    try:
        held = await asyncio.wait_for(_slow.pop("task"), 10)
    except (TimeoutError, OSError):
        held = b""
    raw = _slow.pop("socket")
    raw.writer.close()
    _slow.clear()
    at = held.rfind(b"\x88")
    code = int.from_bytes(held[at + 2 : at + 4], "big") if at >= 0 else None
    return {"code": code, "read": len(held)}


async def churn(url, tenant_id, agents, slots, seconds, concurrency):
    """`slots` places whose sockets come, stay for a while and go, until time is up."""
    gate = asyncio.Semaphore(concurrency)
    until = time.monotonic() + seconds
    counts = {"connected": 0, "failed": 0}

    async def place(i):
        await asyncio.sleep(random.random() * min(10, seconds / 4))
        while time.monotonic() < until:
            try:
                async with gate:
                    if time.monotonic() >= until:
                        return
                    peer = await connected("gateway", url, tenant_id, agents[i % len(agents)], "soak")
            except (Gone, OSError, TimeoutError) as error:
                counts["failed"] += 1
                counts["why"] = repr(error)
                continue
            counts["connected"] += 1
            await asyncio.sleep(min(random.uniform(1, 20), max(0, until - time.monotonic())))
            with suppress(TimeoutError):
                await asyncio.wait_for(peer.close(), 10)

    await asyncio.gather(*(place(i) for i in range(slots)))
    return counts


COMMANDS = {"connect_nats": connect_nats, "slow_open": slow_open, "slow_end": slow_end, "churn": churn}
