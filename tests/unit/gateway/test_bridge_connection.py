"""A bridge's connection to a real broker, with and without TLS, on both event loops."""

import asyncio
import ssl
from contextlib import suppress

import nats.errors
import pytest
import uvloop

from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from support.certificates import create_certificate
from support.fakes.ids import SIGNER
from support.nats_server import running_nats_server
from support.waiting import eventually


class Recorder(BrokerSubscription):
    __slots__ = ("received",)

    def __init__(self):
        super().__init__(SIGNER, RenderGroup)
        self.received = []

    def on_message(self, subject, reply, payload, headers):
        self.received.append((subject, reply, payload, headers))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return create_certificate(tmp_path_factory.mktemp("certificate"), "localhost", days=30)


def publish(connection, subject, headers, payload, reply=""):
    address = f"{subject} {reply}" if reply else subject
    size = len(headers) + len(payload)
    head = f"HPUB {address} {len(headers)} {size}\r\n".encode()
    connection.enqueue(head + headers + payload + b"\r\n", size)


async def exchange(certificate, finished, *, tls):
    options = ("--tls", "--tlscert", str(certificate[0]), "--tlskey", str(certificate[1])) if tls else ()
    async with running_nats_server(*options) as server:
        connection, ended = BridgeConnection(), asyncio.Event()

        async def on_closed():
            ended.set()

        context = ssl.create_default_context(cafile=str(certificate[0])) if tls else None
        url = f"tls://localhost:{server.port}" if tls else server.url
        await connection.connect(url, tls=context, closed_cb=on_closed)
        recorder, other = Recorder(), Recorder()
        await connection.attach("a.*", recorder)
        await connection.attach("b", other)
        await connection.flush()
        # More than the socket accepts at once, and a message of several reads.
        payloads = [b"%d " % number + b"x" * 1_000 for number in range(2_000)] + [b"y" * 900_000, b""]
        for payload in payloads:
            publish(connection, "a.x", b"NATS/1.0\r\nA: b\r\n\r\n", payload, "r.1")
        await connection.flush()
        assert [payload for _, _, payload, _ in recorder.received] == payloads
        assert set(recorder.received[-1:]) == {("a.x", "r.1", b"", b"NATS/1.0\r\nA: b\r\n\r\n")}
        await connection.detach(recorder)
        publish(connection, "a.x", b"", b"unheard")
        publish(connection, "b", b"NATS/1.0\r\n\r\n", b"heard")
        await connection.flush()
        assert len(recorder.received) == len(payloads)
        assert [payload for _, _, payload, _ in other.received] == [b"heard"]
        server.kill()
        await asyncio.wait_for(ended.wait(), 5)
        assert connection.is_closed
        with pytest.raises(nats.errors.ConnectionClosedError):
            await connection.flush()
        finished.append(tls)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("tls", [False, True])
def test_messages_arrive_in_order_until_the_connection_ends(certificate, new_loop, tls):
    finished = []
    # uvloop says so of the server that the exchange has ended.
    with asyncio.Runner(loop_factory=new_loop) as runner, suppress(ProcessLookupError):
        runner.run(exchange(certificate, finished, tls=tls))
    assert finished == [tls]


async def test_pending_messages_are_written_on_close():
    async with running_nats_server() as server:
        sender, receiver, recorder = BridgeConnection(), BridgeConnection(), Recorder()
        await sender.connect(server.url)
        await receiver.connect(server.url)
        await receiver.attach("a", recorder)
        await receiver.flush()
        for number in range(100):
            publish(sender, "a", b"NATS/1.0\r\n\r\n", b"%d" % number)
        await sender.close()
        await eventually(lambda: len(recorder.received) == 100)
        await receiver.close()
