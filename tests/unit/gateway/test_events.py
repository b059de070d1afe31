"""Server-sent events: their text form, and the bounded buffer of one response."""

import asyncio
import json

import pytest

from artcafe_gateway.wire.events import EventQueue, encode_event, encode_retry
from support.sse import parse_events


@pytest.mark.parametrize(
    "data", [b'{"n":1}', b'{\n  "n": 1\n}', b"[1,\r\n2,\r3]", b'"\\n"', '{"é":"\u2028"}'.encode()]
)
def test_any_json_text_is_one_event(data):
    (event,) = parse_events(encode_event(data, "gap", 7))
    assert json.loads(event["data"]) == json.loads(data)
    assert (event["event"], event["id"]) == ("gap", "7")


def test_messages_have_no_name_and_may_have_no_id():
    assert encode_event(b"1") == b"data: 1\n\n"
    assert encode_retry(250) == b"retry: 250\n\n"


class Reader:
    def __init__(self, queue):
        self.chunks = []
        self.task = asyncio.create_task(self.read(queue))

    async def read(self, queue):
        async for chunk in queue.chunks():
            self.chunks.append(chunk)


async def test_events_of_one_turn_are_one_chunk_and_the_last_one_ends_the_stream():
    queue = EventQueue(100, lambda: None)
    reader = Reader(queue)
    assert queue.push(b"a")
    assert queue.write(b"b")
    await asyncio.sleep(0.001)
    queue.close(b"end")
    queue.close(b"again")
    await asyncio.wait_for(reader.task, 1)
    assert reader.chunks == [b"ab", b"end"]
    assert not queue.push(b"c")


async def test_overflow_leaves_the_last_event_only():
    queue = EventQueue(10, lambda: queue.close(b"too slow", discard=True))
    assert queue.push(b"x" * 6)
    assert queue.half_full
    assert not queue.push(b"x" * 5)
    assert not queue.push(b"x")
    reader = Reader(queue)
    await asyncio.wait_for(reader.task, 1)
    assert reader.chunks == [b"too slow"]
