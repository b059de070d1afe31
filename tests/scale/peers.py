"""Direct NATS connections, reduced to what thousands in one process need."""

import asyncio
import json
from contextlib import suppress

from artcafe_common.dev.stack import LOOPBACK
from bench.sockets import build_connect

LOGIN_TIMEOUT_S = 20


class DirectPeer(asyncio.Protocol):
    """A client that logs in with its key, answers pings, and publishes."""

    def __init__(self, organization, jwt=None):
        self.organization = organization
        self._jwt = jwt
        self.transport = None
        self.ready = asyncio.get_running_loop().create_future()
        self._waiting = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        *lines, self._waiting = (self._waiting + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"INFO") and not self.ready.done():
                self.transport.write(self._build_connect(json.loads(line[5:])) + b"PING\r\n")
            elif line == b"PING":
                self.transport.write(b"PONG\r\n")
            elif line == b"PONG" and not self.ready.done():
                self.ready.set_result(None)
            elif line.startswith(b"-ERR"):
                self._fail(ConnectionError(line.decode()))

    def _build_connect(self, info):
        line = build_connect(info, self.organization.agent["seed"])
        if self._jwt is None:
            return line
        options = json.loads(line.removeprefix(b"CONNECT "))
        del options["nkey"]
        return b"CONNECT " + json.dumps({**options, "jwt": self._jwt}).encode() + b"\r\n"

    def connection_lost(self, error):
        self._fail(error or ConnectionError("closed"))
        self.transport = None

    def _fail(self, error):
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()

    @property
    def is_open(self):
        return self.transport is not None and self.ready.done() and self.ready.exception() is None

    def publish(self, payload=b"x" * 16):
        subject = f"{self.organization.id}.scale".encode()
        self.transport.write(b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload))

    def close(self):
        if self.transport is not None:
            self.transport.close()


async def log_in(port, organization, *, callout=True, within_s=LOGIN_TIMEOUT_S):
    """A logged-in peer, by the auth callout or a JWT. Raises OSError and TimeoutError."""
    loop = asyncio.get_running_loop()
    jwt = None if callout else organization.user_jwt()
    _, peer = await loop.create_connection(lambda: DirectPeer(organization, jwt), LOOPBACK, port)
    try:
        async with asyncio.timeout(within_s):
            await peer.ready
    except BaseException:
        peer.close()
        raise
    return peer


async def log_in_all(port, organizations, *, callout=True, concurrency=64):
    """The peers that could log in, one for each organization, and the errors."""
    limit = asyncio.Semaphore(concurrency)

    async def log_in_one(organization):
        async with limit:
            return await log_in(port, organization, callout=callout)

    results = await asyncio.gather(*map(log_in_one, organizations), return_exceptions=True)
    peers = [each for each in results if isinstance(each, DirectPeer)]
    return peers, [repr(each) for each in results if not isinstance(each, DirectPeer)]


async def first_login(port, organization, *, within_s):
    """Log in as soon as that is possible, with a new attempt each moment."""
    attempts = set()
    try:
        async with asyncio.timeout(within_s):
            while True:
                attempts.add(asyncio.create_task(log_in(port, organization, within_s=5)))
                done, attempts = await asyncio.wait(
                    attempts, timeout=0.1, return_when=asyncio.FIRST_COMPLETED
                )
                for each in done:
                    if each.exception() is None:
                        each.result().close()
                        return
    finally:
        for each in attempts:
            each.cancel()
        for each in attempts:
            with suppress(asyncio.CancelledError, OSError, TimeoutError):
                (await each).close()
