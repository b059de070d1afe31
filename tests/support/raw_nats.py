"""A NATS client that writes any bytes: what no library would send."""

import asyncio
import base64
import json

from artcafe_common.broker.nkeys import KeyPair
from support.cleanup import close_after_test


class RawNats:
    """A TCP connection to a nats-server. Nothing is checked on the way out, and lines are read as they come."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.info = {}
        close_after_test(self, self.close)

    @classmethod
    async def open(cls, host, port):
        """Connect and read the server's INFO; nobody is logged in yet."""
        raw = cls(*await asyncio.open_connection(host, port))
        raw.info = json.loads((await raw.reader.readline()).removeprefix(b"INFO "))
        return raw

    @classmethod
    async def connect(cls, client, *, within=5.0):
        """Connect and log in as a client of an organization, with its seed."""
        raw = await cls.open("127.0.0.1", client.tenant.stack.ports.nats)
        pair = KeyPair(client.seed)
        signature = base64.urlsafe_b64encode(pair.sign(raw.info["nonce"].encode())).decode().rstrip("=")
        await raw.log_in(within=within, nkey=pair.public, sig=signature)
        return raw

    async def log_in(self, *, within=5.0, **options):
        """Send CONNECT; ConnectionError unless the server accepts it."""
        connect = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1}
        self.write(b"CONNECT " + json.dumps({**connect, **options}).encode() + b"\r\n")
        await self.ping(within)

    def write(self, data):
        self.writer.write(data)

    def publish(self, subject, payload=b"hi", *, reply=b"", headers=b""):
        """Write a PUB, or a HPUB with this header block, of any bytes."""
        address = subject + (b" " + reply if reply else b"")
        if headers:
            total = len(headers) + len(payload)
            self.write(b"HPUB %b %d %d\r\n%b%b\r\n" % (address, len(headers), total, headers, payload))
        else:
            self.write(b"PUB %b %d\r\n%b\r\n" % (address, len(payload), payload))

    async def ping(self, within=5.0):
        """Return once the server has processed everything written; ConnectionError if it ended the connection.

        Returns the lines that came before the PONG.
        """
        self.write(b"PING\r\n")
        lines = []
        async with asyncio.timeout(within):
            while True:
                line = await self.reader.readline()
                if not line:
                    raise ConnectionError(f"ended by the server: {lines[-3:]}")
                if line == b"PONG\r\n":
                    return lines
                lines.append(line)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def close(self):
        self.writer.transport.abort()
