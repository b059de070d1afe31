"""Messages that are sent at once share a frame, in order, if the server has chosen the subprotocol."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedError

from artcafe_client.errors import ConnectionLost
from artcafe_client.transports.batching import MAX_JOINED_BYTES, SUBPROTOCOL, FrameSender


class WebSocket:
    def __init__(self, subprotocol=SUBPROTOCOL):
        self.subprotocol = subprotocol
        self.frames = []
        self.slow = False
        self.lost = False

    async def send(self, frame, *, text):
        assert text
        if self.slow:
            await asyncio.sleep(0.001)
        if self.lost:
            raise ConnectionClosedError(None, None)
        self.frames.append(frame)

    @property
    def messages(self):
        return [line for frame in self.frames for line in frame.split(b"\n")]


async def test_first_message_is_sent_at_once_and_the_others_together():
    ws = WebSocket()
    sender = FrameSender(ws)
    await sender.send(b"0")
    assert ws.frames == [b"0"]
    await asyncio.gather(*(sender.send(b"%d" % number) for number in range(1, 50)))
    assert ws.messages == [b"%d" % number for number in range(50)]
    assert len(ws.frames) <= 3


async def test_without_the_subprotocol_each_message_is_a_frame():
    ws = WebSocket(None)
    sender = FrameSender(ws)
    await asyncio.gather(*(sender.send(b'{\n"n":%d}' % number) for number in range(5)))
    assert ws.frames == [b'{\n"n":%d}' % number for number in range(5)]
    assert sender.split(b"1\n2") == [b"1\n2"]


async def test_line_breaks_become_spaces():
    ws = WebSocket()
    sender = FrameSender(ws)
    await asyncio.gather(*(sender.send(b"{\n}") for _ in range(3)))
    assert ws.messages == [b"{ }"] * 3
    assert sender.split(b"1\n2") == [b"1", b"2"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12_000)), max_size=20),
    st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_order_holds_and_frames_are_bounded(messages, slow):
    async def run():
        ws = WebSocket()
        ws.slow = slow
        sender = FrameSender(ws)
        tasks = []
        for number, (turns, size) in enumerate(messages):
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks.append(asyncio.create_task(sender.send(b"%d" % number + b"x" * size)))
        await asyncio.gather(*tasks)
        assert [int(message.partition(b"x")[0]) for message in ws.messages] == list(range(len(messages)))
        assert all(len(frame) <= MAX_JOINED_BYTES or b"\n" not in frame for frame in ws.frames)

    asyncio.run(run())


async def test_lost_connection_fails_every_send():
    ws = WebSocket()
    ws.lost = True
    sender = FrameSender(ws)
    results = await asyncio.gather(*(sender.send(b"1") for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in results] == [ConnectionLost] * 3
    with pytest.raises(ConnectionLost):
        await sender.send(b"2")
