"""A bridge's stream delivers what the client's parser would, in the same order, however the bytes are split."""

import asyncio
import itertools
import time

import nats.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artcafe_common.broker.parser import StreamParser
from artcafe_gateway.bridges import broker_stream
from artcafe_gateway.bridges.broker_stream import BrokerStream

KNOWN, OF_NATS_PY, GONE = b"1", b"22", b"333"


class Transport:
    def __init__(self):
        self.protocol = Original()
        self.written = []
        self.paused = False
        self.closing = False

    def get_protocol(self):
        return self.protocol

    def set_protocol(self, protocol):
        self.protocol = protocol

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return self.closing

    def write(self, data):
        self.written.append(data)


class Original:
    """nats-py's protocol."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args: self.calls.append((name, *args))


class Parsed:
    """What the client's parser calls; the reference."""

    def __init__(self, known):
        self.events = []
        self._known = known

    async def _process_msg(self, sid, subject, reply, data, headers):
        if sid in self._known:
            self.events.append(("message", sid, subject, reply, data, headers or b""))

    async def _process_ping(self):
        self.events.append(("ping",))

    async def _process_pong(self):
        self.events.append(("pong",))

    async def _process_err(self, err_msg):
        self.events.append(("error", err_msg))

    async def _process_info(self, info):
        self.events.append(("info", info))


class Subscription:
    def __init__(self, sid, events, work_s=0.0):
        self._sid, self._events, self._work_s = int(sid), events, work_s

    def receive(self, subject, reply, payload, headers, read_time):
        if self._work_s:
            time.sleep(self._work_s)
        if payload == b"bad":
            raise ValueError
        self._events.append(("message", self._sid, subject, reply, payload, headers))


class Receiver:
    """A connection with one subscription of its own, and one of nats-py's."""

    def __init__(self, work_s=0.0):
        self.parsed = Parsed({int(OF_NATS_PY)})
        self.events = self.parsed.events
        self.subscriptions = {KNOWN: Subscription(KNOWN, self.events, work_s)}
        self.dropped = 0
        self.writable = 0
        self._parser = StreamParser(self.parsed)

    def is_subscribed_otherwise(self, sid):
        return sid == OF_NATS_PY

    def drop(self, _error):
        self.dropped += 1

    def process_pong(self):
        self.events.append(("pong",))

    async def process_other(self, data):
        await asyncio.sleep(0)
        await self._parser.parse(data)

    def write_pending(self):
        self.writable += 1


class Running:
    """A stream that reads from a transport."""

    def __init__(self, receiver, before=b""):
        self.transport = Transport()
        self.original = self.transport.protocol
        self.stream = BrokerStream(receiver, self.transport)
        self.task = asyncio.create_task(self.stream.run(before))

    async def feed(self, parts):
        for part in parts:
            while self.transport.paused and not self.task.done():
                await asyncio.sleep(0)
            self.stream.data_received(part)
        await self.settle()

    async def settle(self):
        for _ in range(200):
            await asyncio.sleep(0)
            if not self.transport.paused:
                break
        await asyncio.sleep(0)

    async def end(self, error=None):
        self.stream.connection_lost(error)
        await asyncio.wait({self.task})
        return self.task.exception()


def message(sid, subject, reply, payload, headers):
    words = [subject, sid, *([reply] if reply else [])]
    if headers is None:
        return b"MSG %b %d\r\n%b\r\n" % (b" ".join(words), len(payload), payload)
    size = len(headers) + len(payload)
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (b" ".join(words), len(headers), size, headers, payload)


names = st.sampled_from([b"a", b"a.b", b"a\x0b7", b"\xff\xfe", b"MSG", b"PONG"])
messages = st.builds(
    message,
    st.sampled_from([KNOWN, KNOWN, KNOWN, OF_NATS_PY, GONE]),
    names,
    st.none() | names,
    st.binary(max_size=30)
    | st.sampled_from([b"", b"\r\n", b"PING\r\n", b"MSG a 1 2\r\nhi\r\n", b"x" * 9_000]),
    st.none() | st.sampled_from([b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nA: b\r\n\r\n", b""]),
)
lines = st.sampled_from(
    [
        b"PING\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
        b"-ERR 'Permissions Violation'\r\n",
        b'INFO {"a":1}\r\n',
        b"PONG \r\n",
    ]
)
odd_lines = st.sampled_from(
    [
        b"MSG a 1\r\n",
        b"MSG a 1 x\r\n",
        b"HMSG a 1 x 5\r\nhello\r\n",
        b"HMSG a 1 5\r\n",
        b"\r\n",
        b"?\r\n",
        b"MSG\r\n",
    ]
)


def split(stream, cuts):
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(messages | lines, max_size=12), st.lists(st.integers(0, 10**6), max_size=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_stream_delivers_what_the_parser_does(parts, cuts, turns_are_short):
    async def run():
        data = b"".join(parts)
        reference = Parsed({int(KNOWN), int(OF_NATS_PY)})
        await StreamParser(reference).parse(data)
        receiver = Receiver()
        running = Running(receiver)
        await asyncio.sleep(0)
        await running.feed(split(data, cuts))
        assert receiver.events == reference.events
        assert isinstance(await running.end(), nats.errors.UnexpectedEOF)

    with pytest.MonkeyPatch.context() as patch:
        if turns_are_short:
            patch.setattr(broker_stream, "MAX_TURN_S", 0)
            patch.setattr(broker_stream, "CHECK_BYTES", 1)
        asyncio.run(run())


@given(st.lists(messages | lines, max_size=4), odd_lines, st.lists(st.integers(0, 10**6), max_size=4))
@settings(max_examples=50, deadline=None)
def test_odd_line_ends_the_connection_after_what_came_before(parts, odd, cuts):
    async def run():
        before = b"".join(parts)
        reference = Parsed({int(KNOWN), int(OF_NATS_PY)})
        await StreamParser(reference).parse(before)
        receiver = Receiver()
        running = Running(receiver)
        await asyncio.sleep(0)
        await running.feed(split(before + odd + b"PONG\r\n", cuts))
        with pytest.raises(nats.errors.ProtocolError):
            await running.task
        assert receiver.events == reference.events

    asyncio.run(run())


async def test_what_nats_py_had_received_comes_first():
    receiver = Receiver()
    running = Running(receiver, message(KNOWN, b"a", None, b"1", None) + b"PI")
    await asyncio.sleep(0)
    await running.feed([b"NG\r\n", message(KNOWN, b"a", None, b"2", None)])
    assert [event[0] for event in receiver.events] == ["message", "ping", "message"]
    await running.end()


async def test_other_tasks_run_between_slow_messages():
    receiver, turns = Receiver(work_s=0.002), 0
    running = Running(receiver)
    await asyncio.sleep(0)
    running.stream.data_received(message(KNOWN, b"a", None, b"x" * 5_000, None) * 4)
    while len(receiver.events) < 4:
        assert running.transport.paused
        turns += 1
        await asyncio.sleep(0)
    assert turns == 3
    await running.settle()
    assert not running.transport.paused
    await running.end()


async def test_message_that_cannot_be_handled_costs_only_itself():
    receiver = Receiver()
    running = Running(receiver)
    await asyncio.sleep(0)
    await running.feed([message(KNOWN, b"a", None, data, None) for data in (b"1", b"bad", b"2")])
    assert [event[4] for event in receiver.events] == [b"1", b"2"]
    assert receiver.dropped == 1
    await running.end()


async def test_line_without_an_end_ends_the_connection():
    running = Running(Receiver())
    await asyncio.sleep(0)
    await running.feed([b"x" * 40_000, b"x" * 40_000])
    with pytest.raises(nats.errors.ProtocolError):
        await running.task


async def test_nothing_is_written_while_the_socket_is_full():
    receiver = Receiver()
    running = Running(receiver)
    assert running.stream.write(b"1")
    running.stream.pause_writing()
    assert not running.stream.write(b"2")
    running.stream.resume_writing()
    assert running.stream.write(b"3")
    assert running.transport.written == [b"1", b"3"]
    assert receiver.writable == 1
    assert running.original.calls == [("pause_writing",), ("resume_writing",)]
    await asyncio.sleep(0)
    await running.end()


async def test_end_of_the_stream_ends_reading_and_is_told_to_nats_py():
    running = Running(Receiver())
    await asyncio.sleep(0)
    running.stream.eof_received()
    with pytest.raises(nats.errors.UnexpectedEOF):
        await running.task
    running.stream.data_received(message(KNOWN, b"a", None, b"late", None))
    error = ConnectionResetError()
    running.stream.connection_lost(error)
    assert running.original.calls == [("eof_received",), ("connection_lost", error)]
