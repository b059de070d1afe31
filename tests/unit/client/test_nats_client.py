"""The NATS connection of the SDK, against a broker that takes its time."""

import asyncio

import pytest
from nats.errors import Error

from artcafe_client.transports.nats_client import NatsClient


class SlowBroker:
    """Checks a key for a while, and pings meanwhile, as nats-server does."""

    def __init__(self, verdict):
        self._verdict = verdict
        self.decide = asyncio.Event()

    async def serve(self, reader, writer):
        writer.write(b'INFO {"server_id":"S","max_payload":1048576,"client_id":7}\r\n')
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PING\r\n")
        await self.decide.wait()
        writer.write(self._verdict)
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()


@pytest.fixture
def start():
    servers = []

    async def serve(verdict):
        broker = SlowBroker(verdict)
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        servers.append(server)
        return broker, f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()


async def ignore(_error):
    return None


async def test_connection_is_open_when_the_key_was_accepted(start):
    broker, url = await start(b"PONG\r\n")
    client = NatsClient()
    opening = asyncio.create_task(client.open([url], error_cb=ignore))
    await asyncio.sleep(0.05)
    assert not opening.done()
    broker.decide.set()
    await asyncio.wait_for(opening, 2)
    assert client.is_connected
    await client.publish("x", b"1")
    await client.flush(2)
    await client.close()


async def test_refusal_after_a_while_is_an_error(start):
    broker, url = await start(b"-ERR 'Authorization Violation'\r\n")
    client = NatsClient()
    opening = asyncio.create_task(client.open([url], error_cb=ignore))
    await asyncio.sleep(0.05)
    broker.decide.set()
    with pytest.raises(Error, match=r"[Aa]uthorization"):
        await asyncio.wait_for(opening, 2)
    await client.close()
