"""The Python SDK's connection over NATS: a message goes to its subscription as it is read, and costs nothing else."""

import asyncio
import logging

import nats.errors
import pytest

from artcafe_client.header_block import parse_headers, parse_status, publishers_headers
from artcafe_client.transports.nats_client import NatsClient
from support.cleanup import close_after_test
from support.nats_server import ScriptedServer, running_nats_server
from support.raw_nats import RawNats
from support.waiting import eventually


@pytest.fixture(scope="module")
async def server():
    async with running_nats_server() as process:
        yield process


async def open_client(url):
    async def ignore(_error):
        return None

    nc = NatsClient()
    close_after_test(nc, nc.close)
    await nc.open([url], error_cb=ignore)
    return nc


async def test_messages_are_passed_on_before_flush_returns(server):
    nc, received = await open_client(server.url), []
    number = await nc.listen("t.>", "", lambda *message: received.append(message))
    for each in (b"1", b"2"):
        assert not nc.enqueue(b"PUB t.a ", each)
    await nc.publish("t.b", b"3", reply="r", headers={"Lang": "en"})
    await nc.flush()
    assert [(subject, reply, data) for subject, reply, data, _ in received] == [
        (b"t.a", b"", b"1"),
        (b"t.a", b"", b"2"),
        (b"t.b", b"r", b"3"),
    ]
    assert parse_headers(received[-1][3]) == {"Lang": "en"}
    await nc.stop_listening(number)
    nc.enqueue(b"PUB t.a ", b"4")
    await nc.flush()
    assert len(received) == 3


async def test_what_cannot_be_passed_on_costs_itself_only(server, caplog):
    nc, received = await open_client(server.url), []

    def receive(subject, _reply, data, _headers):
        received.append((subject.decode(), data))

    await nc.listen("t.>", "", receive)
    raw = await RawNats.open("127.0.0.1", server.port)
    await raw.log_in()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            raw.publish(b"t.\xff\xfe")
        raw.publish(b"t.b", b"next")
        await raw.ping()
        await eventually(lambda: received == [("t.b", b"next")], within=2)
    assert nc.dropped == 3
    assert len(caplog.records) == 1
    assert nc.is_connected


async def test_limits_are_the_brokers(server):
    nc = await open_client(server.url)
    with pytest.raises(nats.errors.MaxPayloadError):
        nc.enqueue(b"PUB t ", b"x" * (nc.max_payload + 1))
    # More than may wait: who publishes has to wait for the system.
    assert any(nc.enqueue(b"PUB t ", b"x" * 1_000_000) for _ in range(3))
    await nc.write_pending()
    assert not nc.enqueue(b"PUB t ", b"x")
    await nc.close()
    with pytest.raises(nats.errors.ConnectionClosedError):
        nc.enqueue(b"PUB t ", b"x")


async def test_late_pong_does_not_end_the_connection():
    async with ScriptedServer.running() as scripted:
        nc = await open_client(scripted.url)
        connection = await scripted.wait_for_connections(1, 2)
        scripted.answers = False
        with pytest.raises((nats.errors.TimeoutError, asyncio.TimeoutError)):
            await nc.flush(0.05)
        scripted.answers = True
        connection.write(b"PONG\r\n")
        await nc.flush(2)
        assert nc.is_connected


@pytest.mark.parametrize(
    ("block", "status", "headers"),
    [
        (b"NATS/1.0\r\nA: b\r\nA:c\r\nNats-X: 1\r\n\r\n", "", {"A": "b, c"}),
        (b"NATS/1.0 503\r\n\r\n", "503", {}),
        (b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n", "100", {}),
        (b"NATS/1.0\r\nA: \xff\r\n\xfe: b\r\n: c\r\nd\r\n\r\n", "", {"A": "\N{REPLACEMENT CHARACTER}"}),
        (b"NATS/1.0", "", {}),
    ],
)
def test_header_blocks(block, status, headers):
    assert parse_status(block) == status
    assert publishers_headers(parse_headers(block)) == headers
