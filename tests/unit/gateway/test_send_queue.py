"""The send queue of a socket: order, one write per loop turn, and a bound for slow sockets."""

import asyncio
import json

import pytest

from artcafe_gateway.wire.send_queue import CLOSE_TOO_SLOW, SendQueue
from artcafe_gateway.wire.text_frames import text_frame
from support.fakes.sockets import decode_frames

LIMIT = 1_000


class Transport:
    """A socket's transport; `buffered` bytes wait in the kernel's buffer."""

    def __init__(self):
        self.writes = []
        self.buffered = 0
        self.closing = False

    def write(self, data):
        self.writes.append(data)

    def is_closing(self):
        return self.closing

    def get_write_buffer_size(self):
        return self.buffered

    @property
    def frames(self):
        return decode_frames(b"".join(self.writes))


class Protocol:
    """The part of the WebSocket protocol that a send queue uses."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.is_batch = False
        self.transport = Transport()
        self.close_sent = False
        self.closed = []

    def close_with(self, code, reason):
        self.closed.append((code, reason))
        self.close_sent = True


@pytest.fixture
async def protocol():
    return Protocol()


@pytest.fixture
async def queue(protocol):
    return SendQueue(protocol, LIMIT)


def frame(number):
    return text_frame(json.dumps(number).encode())


async def test_frames_of_one_turn_are_one_write_in_order(queue, protocol):
    for number in range(20):
        assert queue.push(frame(number))
    assert protocol.transport.writes == []
    await asyncio.sleep(0)
    assert len(protocol.transport.writes) == 1
    assert protocol.transport.frames == list(range(20))


async def test_direct_write_follows_queued_frames(queue, protocol):
    queue.push(frame(1))
    assert queue.write(frame(2))
    queue.push(frame(3))
    await asyncio.sleep(0)
    assert protocol.transport.frames == [1, 2, 3]


async def test_backlog_counts_queue_and_transport(queue, protocol):
    protocol.transport.buffered = 300
    queue.push(b"x" * 150)
    assert (queue.backlog, queue.half_full) == (450, False)
    queue.push(b"x" * 100)
    assert (queue.backlog, queue.half_full) == (550, True)
    await asyncio.sleep(0)
    assert queue.backlog == 300


async def test_slow_socket_is_closed_and_its_queue_is_dropped(queue, protocol):
    calls = []
    queue.on_slow_consumer = lambda: calls.append("slow")
    queue.push(frame(1))
    protocol.transport.buffered = LIMIT
    assert not queue.push(frame(2))
    assert protocol.closed == [(CLOSE_TOO_SLOW, "too_slow")]
    assert calls == ["slow"]
    await asyncio.sleep(0)
    assert protocol.transport.writes == []
    assert not queue.push(frame(3))
    assert not queue.write(frame(3))
    assert calls == ["slow"]


async def test_slow_socket_is_closed_by_a_direct_write(queue, protocol):
    protocol.transport.buffered = LIMIT
    assert not queue.write(frame(1))
    assert protocol.closed == [(CLOSE_TOO_SLOW, "too_slow")]


async def test_large_write_to_an_idle_socket_is_allowed(queue, protocol):
    assert queue.write(b"x" * (2 * LIMIT))
    assert protocol.closed == []


async def test_close_writes_the_queued_frames_first(queue, protocol):
    queue.push(frame(1))
    queue.close(4403, "deleted")
    queue.close(1012, "restarting")
    assert protocol.transport.frames == [1]
    assert protocol.closed == [(4403, "deleted")]


@pytest.mark.parametrize("ended", ["close_sent", "closing"])
async def test_ended_connection_rejects_frames(queue, protocol, ended):
    if ended == "close_sent":
        protocol.close_sent = True
    else:
        protocol.transport.closing = True
    assert not queue.push(frame(1))
    assert not queue.write(frame(1))
    await asyncio.sleep(0)
    assert protocol.transport.writes == []


async def test_connection_that_ends_within_the_turn_gets_no_write(queue, protocol):
    queue.push(frame(1))
    protocol.transport.closing = True
    await asyncio.sleep(0)
    assert protocol.transport.writes == []
    assert queue.backlog == 0


async def test_messages_of_a_turn_share_a_frame_in_the_batch_subprotocol(queue, protocol):
    protocol.is_batch = True
    queue.push_text(b"1")
    queue.push_text(b"2")
    queue.push(text_frame(b"3"))
    queue.push_text(b"4")
    queue.flush()
    assert protocol.transport.writes == [b"".join(map(text_frame, (b"1\n2", b"3", b"4")))]
    queue.push_text(b"5")
    queue.write(text_frame(b"6"))
    assert b"".join(protocol.transport.writes[1:]) == text_frame(b"5") + text_frame(b"6")
    assert queue.backlog == 0


async def test_lines_count_as_unsent(queue, protocol):
    protocol.is_batch = True
    assert queue.push_text(b"x" * LIMIT)
    assert not queue.push_text(b"x")
    assert protocol.closed == [(CLOSE_TOO_SLOW, "too_slow")]
    assert protocol.transport.writes == []
