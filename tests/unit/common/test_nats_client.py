"""The platform's NATS client: odd messages cost themselves only, and a lost connection is noticed at once."""

import asyncio
import os
import time
from types import SimpleNamespace

import nats.errors
import pytest

from artcafe_common.broker import client as client_module
from artcafe_common.broker.client import HardenedNats
from support.cleanup import close_after_test
from support.nats_server import ScriptedServer, running_nats_server
from support.pausing import paused
from support.raw_nats import RawNats
from support.waiting import eventually

# Raw PUB and HPUB arguments: subject, reply, headers.
UNDECODABLE = {
    "subject": (b"t.\xff\xfe", b"", b""),
    "reply": (b"t.a", b"\xff\xfe", b""),
    "status line": (b"t.a", b"", b"NATS/1.0 \xff\xfe\xfd\r\n\r\n"),
    "status text": (b"t.a", b"", b"NATS/1.0 503 \xff\xfe\r\n\r\n"),
    "headers that end with the version": (b"t.a", b"", b"NATS/1.0"),
}
HEADERS_WITHOUT_END = [
    b"NATS/1.0\r\nA: b",
    b"NATS/1.0\r\n",
    b"NATS/1.0 503",
    b"NATS/1.0\r\n: \r\n\xff",
    b"X" * 20,
]


@pytest.fixture(scope="module")
async def server():
    async with running_nats_server() as process:
        yield process


@pytest.fixture
async def scripted():
    async with ScriptedServer.running() as server:
        yield server


async def connect(url, **options):
    async def ignore(_error):
        return None

    nc = HardenedNats()
    close_after_test(nc, nc.close)
    await nc.connect(url, **{"max_reconnect_attempts": -1, "error_cb": ignore, **options})
    return nc


async def collect(nc, subject):
    """The list of the payloads that arrive on a subject."""
    received = []

    async def record(message):
        received.append(message.data)

    await nc.subscribe(subject, cb=record)
    await nc.flush()
    return received


async def raw_client(server):
    raw = await RawNats.open("127.0.0.1", server.port)
    await raw.log_in()
    return raw


@pytest.mark.parametrize("case", UNDECODABLE)
async def test_message_that_cannot_be_decoded_is_dropped_and_counted(server, case):
    nc, raw = await connect(server.url), await raw_client(server)
    received = await collect(nc, "t.>")
    subject, reply, headers = UNDECODABLE[case]
    for _ in range(3):
        raw.publish(subject, reply=reply, headers=headers)
    raw.publish(b"t.b", b"next")
    await raw.ping()
    await eventually(lambda: received == [b"next"], within=2)
    assert nc.drops.count == 3
    assert nc.stats["reconnects"] == 0


@pytest.mark.parametrize("headers", HEADERS_WITHOUT_END)
async def test_header_block_without_an_end_disturbs_no_other_message(server, headers):
    nc, raw = await connect(server.url), await raw_client(server)
    received = await collect(nc, "t.>")
    raw.publish(b"t.a", b"odd", headers=headers)
    raw.publish(b"t.b", b"next")
    await raw.ping()
    await eventually(lambda: received[-1:] == [b"next"], within=2)
    assert nc.stats["reconnects"] == 0


@pytest.mark.parametrize("separator", [b"\x0b", b"\x0c", b"\r", b"\x1c", b"\x85", b"\x00"])
async def test_bytes_that_look_like_white_space_do_not_change_the_subscription(server, separator):
    """nats-py takes what follows a vertical tab in a subject for the number of the subscription."""
    nc, raw = await connect(server.url), await raw_client(server)
    received, secret = await collect(nc, "t.>"), await collect(nc, "private")
    for sid in range(1, 6):
        raw.publish(b"t.a%b%d" % (separator, sid), b"injected")
        raw.publish(b"t.r", b"injected", reply=b"x%b%d" % (separator, sid))
    raw.publish(b"t.b", b"next")
    await raw.ping()
    await eventually(lambda: received[-1:] == [b"next"], within=2)
    assert secret == []
    assert nc.stats["reconnects"] == 0


@pytest.mark.parametrize("case", ["raises", "awaits something cancelled"])
async def test_failing_handler_costs_its_message_only(server, case):
    nc = await connect(server.url)
    handled = []

    async def handle(message):
        if message.data == b"odd":
            if case == "raises":
                raise RuntimeError
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            await cancelled
        handled.append(message.data)

    await nc.subscribe("h", cb=handle)
    for data in (b"odd", b"1", b"odd", b"2"):
        await nc.publish("h", data)
    await eventually(lambda: handled == [b"1", b"2"], within=2)
    assert nc.drops.count == 2


async def test_flood_of_odd_messages_is_logged_within_bounds(server, capsys):
    nc, raw = await connect(server.url, name="flooded"), await raw_client(server)
    await collect(nc, "t.>")
    for _ in range(1000):
        raw.publish(b"t.secret\xff", b"secret")
    await raw.ping()
    await eventually(lambda: nc.drops.count == 1000, within=5)
    logged = capsys.readouterr().out
    assert logged.count("message_dropped") == 1
    assert "flooded" in logged
    assert "UnicodeDecodeError" in logged
    assert "secret" not in logged


async def test_ping_follows_the_publishes_that_wait(scripted):
    nc = await connect(scripted.url)
    connection = await scripted.wait_for_connections(1, within=2)
    for number in range(200):
        await nc.publish(f"p.{number}", b"x")
    await nc.flush(timeout=2)
    ping = connection.lines.index(b"PING\r\n")
    assert sum(line.startswith(b"PUB ") for line in connection.lines[:ping]) == 200


async def test_late_pong_does_no_harm(scripted):
    nc = await connect(scripted.url)
    connection = await scripted.wait_for_connections(1, within=2)
    scripted.answers = False
    with pytest.raises(nats.errors.FlushTimeoutError):
        await nc.flush(timeout=0.1)
    waiting = asyncio.create_task(nc.flush(timeout=5))
    await asyncio.sleep(0.05)
    waiting.cancel()
    scripted.answers = True
    connection.write(b"PONG\r\nPONG\r\n")
    await nc.flush(timeout=2)
    assert len(scripted.connections) == 1


async def test_every_pong_belongs_to_its_own_flush_after_a_reconnect(scripted):
    """A PING that was not written before the loss is not answered in place of the next flush's."""
    nc = await connect(scripted.url)
    connection = await scripted.wait_for_connections(1, within=2)
    flush = asyncio.create_task(nc.flush(timeout=5))
    connection.end()
    with pytest.raises(nats.errors.Error):
        await flush
    second = await scripted.wait_for_connections(2, within=1)
    await eventually(lambda: nc.stats["reconnects"] == 1)
    assert second.lines.count(b"PING\r\n") == 1  # that of the reconnect itself


async def test_stopped_broker_does_not_end_connections_that_flush():
    async with running_nats_server() as server:
        nc = await connect(server.url)
        received = await collect(nc, "s")
        async with paused(server.pid):
            flushes = [asyncio.create_task(nc.flush(timeout=1)) for _ in range(20)]
            results = await asyncio.gather(*flushes, return_exceptions=True)
        assert {type(each) for each in results} == {nats.errors.FlushTimeoutError}
        await nc.publish("s", b"again")
        await nc.flush(timeout=2)
        await eventually(lambda: received == [b"again"], within=2)
        assert nc.stats["reconnects"] == 0


# What the broker writes, or the task of nats-py that ends.
ENDINGS = {
    "the broker ends the connection": None,
    "an unknown operation": b"HELLO\r\n",
    "an error without a text": b"-ERR\r\n",
    "an error that ends the connection": b"-ERR 'Parser Error'\r\n",
    "an error in no encoding": b"-ERR '\xff'\r\n",
    "INFO that is not JSON": b"INFO {\r\n",
    "a message without a size": b"MSG a 1 x\r\n",
    "a line without an end": b"x" * 100_000,
    "the reading task is cancelled": "_reading_task",
    "the writing task is cancelled": "_flusher_task",
    "the ping task is cancelled": "_ping_interval_task",
}


def break_connection(nc, connection, ending):
    cause = ENDINGS[ending]
    if isinstance(cause, bytes):
        connection.write(cause)
    elif cause is None:
        connection.end()
    else:
        getattr(nc, cause).cancel()


@pytest.mark.parametrize("ending", ENDINGS)
async def test_lost_connection_is_replaced_within_a_second(scripted, ending):
    nc = await connect(scripted.url)
    connection = await scripted.wait_for_connections(1, within=2)
    received = await collect(nc, "a")
    scripted.answers = False
    flush = asyncio.create_task(nc.flush(timeout=5))
    await asyncio.sleep(0.05)
    scripted.answers = True
    break_connection(nc, connection, ending)
    with pytest.raises((nats.errors.ConnectionClosedError, nats.errors.ConnectionReconnectingError)):
        await asyncio.wait_for(flush, 1)
    second = await scripted.wait_for_connections(2, within=1)
    await eventually(lambda: b"SUB a  1\r\n" in second.lines, within=1)
    second.write(b"MSG a 1 2\r\nhi\r\n")
    await eventually(lambda: received == [b"hi"], within=1)
    await nc.flush(timeout=1)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_connection_that_does_not_reconnect_is_closed_at_once(scripted, ending):
    closed = asyncio.Event()

    async def on_closed():
        closed.set()

    nc = await connect(scripted.url, allow_reconnect=False, closed_cb=on_closed)
    connection = await scripted.wait_for_connections(1, within=2)
    scripted.answers = False
    flush = asyncio.create_task(nc.flush(timeout=5))
    request = asyncio.create_task(nc.request("a", b"", timeout=5))
    await asyncio.sleep(0.05)
    break_connection(nc, connection, ending)
    await asyncio.wait_for(closed.wait(), 1)
    assert nc.is_closed
    for waiting in (flush, request):
        with pytest.raises(nats.errors.ConnectionClosedError):
            await asyncio.wait_for(waiting, 1)
    with pytest.raises(nats.errors.ConnectionClosedError):
        await nc.flush()


async def test_connection_that_does_not_reconnect_tries_each_server_once():
    began = time.monotonic()
    with pytest.raises(nats.errors.NoServersError):
        await connect(["nats://127.0.0.1:1", "nats://127.0.0.1:2"], allow_reconnect=False)
    assert time.monotonic() - began < 1


async def test_flush_fails_while_reconnecting(scripted, monkeypatch):
    monkeypatch.setattr(client_module.random, "uniform", lambda _low, _high: 0.5)
    nc = await connect(scripted.url)
    (await scripted.wait_for_connections(1, within=2)).end()
    await eventually(lambda: nc.is_reconnecting, within=1)
    with pytest.raises(nats.errors.ConnectionReconnectingError):
        await nc.flush()
    await nc.publish("kept", b"")
    second = await scripted.wait_for_connections(2, within=2)
    await eventually(lambda: b"PUB kept  0\r\n" in second.lines, within=1)


async def test_failing_callbacks_do_not_stop_the_reconnect(scripted):
    async def fail():
        raise RuntimeError

    nc = await connect(scripted.url, reconnected_cb=fail, disconnected_cb=fail)
    for number in (1, 2):
        (await scripted.wait_for_connections(number, within=2)).end()
        await eventually(lambda number=number: nc.stats["reconnects"] == number)
    await nc.flush(timeout=1)


class Clock:
    """A clock that the pauses of a client move, and nothing else."""

    def __init__(self, monkeypatch, *, share):
        self.now, self.share, self.limits = 1000.0, share, []
        # Not the module itself, whose clock the event loop uses.
        monkeypatch.setattr(client_module, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(client_module.random, "uniform", self.uniform)

    def uniform(self, low, high):
        self.limits.append((low, high))
        self.now += self.share * high
        return 0


async def test_pause_between_attempts_grows_with_the_outage_and_is_random(monkeypatch):
    async with running_nats_server() as gone:
        nc = await connect(gone.url)
        clock = Clock(monkeypatch, share=1)
    await eventually(lambda: len(clock.limits) > 40)
    lows, limits = zip(*clock.limits, strict=True)
    assert set(lows) == {0}
    # Each is a quarter of the sum of those before it.
    assert limits[:5] == (0.25, 0.25, 0.25, 0.25, 0.25)
    assert limits[5:7] == (0.3125, 0.390625)
    assert list(limits) == sorted(limits)
    assert limits[-1] == 2
    await nc.close()


async def test_connection_that_is_lost_again_and_again_is_attempted_ever_less_often(scripted, monkeypatch):
    nc = await connect(scripted.url)
    clock = Clock(monkeypatch, share=1)
    for number in range(1, 16):
        (await scripted.wait_for_connections(number, within=2)).end()
        await eventually(lambda number=number: nc.stats["reconnects"] == number)
    assert clock.limits[0] == (0, 0.25)
    assert clock.limits[-1] == (0, 2)
    clock.now += client_module.STABLE_AFTER_S + 1
    (await scripted.wait_for_connections(16, within=2)).end()
    await eventually(lambda: nc.stats["reconnects"] == 16)
    assert clock.limits[-1] == (0, 0.25)
    await nc.close()


async def test_close_is_bounded_when_the_broker_does_not_read():
    async with running_nats_server() as server:
        nc = await connect(server.url, pending_size=64 * 1024 * 1024)
        async with paused(server.pid):
            for _ in range(16):
                await nc.publish("big", bytes(1024 * 1024))
            await asyncio.wait_for(nc.close(), 4)
    assert nc.is_closed


async def test_large_messages_arrive_whole_in_any_pieces(scripted):
    nc = await connect(scripted.url)
    connection = await scripted.wait_for_connections(1, within=2)
    received = await collect(nc, "a")
    body = os.urandom(200_000)
    wire = (
        b"MSG a 1 %d\r\n%b\r\n" % (len(body), body)
    ) * 2 + b"HMSG a.b 1 _I.x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    for start in range(0, len(wire), 7_001):
        connection.write(wire[start : start + 7_001])
        await asyncio.sleep(0)
    for each in b"MSG a 1 3\r\nend\r\n":
        connection.write(bytes([each]))
        await asyncio.sleep(0.002)
    await eventually(lambda: received == [body, body, b"hi", b"end"], within=2)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"NATS/1.0\r\nA: b\r\nNats-Request-Info: broker\r\n\r\n", "broker"),
        (b"NATS/1.0\r\nNats-Request-Info: forged\r\nNats-Request-Info: broker\r\n\r\n", "broker"),
        (b"NATS/1.0\r\nNats-Request-Info : forged\r\nA: bNats-Request-Info: broker\r\n\r\n", None),
        (b"NATS/1.0\r\nNats-Request-Info: forged\r\nA: bNats-Request-Info: broker\r\n\r\n", None),
        (b"NATS/1.0\r\nNats-Request-Info : forged\r\n\r\n", None),
        (b"NATS/1.0\r\n Nats-Request-Info: forged\r\n\r\n", None),
    ],
)
async def test_only_the_broker_states_who_sent_a_message(scripted, block, expected):
    nc = await connect(scripted.url)
    connection = await scripted.wait_for_connections(1, within=2)
    headers = []

    async def record(message):
        headers.append(message.headers or {})

    await nc.subscribe("a", cb=record)
    connection.write(b"HMSG a 1 %d %d\r\n%b\r\n" % (len(block), len(block), block))
    await eventually(lambda: headers, within=2)
    assert headers[0].get("Nats-Request-Info") == expected
