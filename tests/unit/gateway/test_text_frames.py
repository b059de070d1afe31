"""The reader of text frames sees what the library sees, however the stream is split."""

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol

from artcafe_gateway.wire.text_frames import TextFrameProtocol, text_frame

MAX_SIZE = 1_000
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + KEY + b"\r\n"


class Recorder:
    """What the application and the peer see of the frames."""

    def __init__(self):
        self.messages = []
        self.written = b""

    def connection(self):
        conn = ServerProtocol(max_size=MAX_SIZE)
        conn.receive_data(REQUEST)
        (request,) = conn.events_received()
        conn.send_response(conn.accept(request))
        conn.data_to_send()
        assert conn.state is OPEN
        return conn


class Library(Recorder):
    """uvicorn's way to read: the reference."""

    def __init__(self):
        super().__init__()
        self.conn = self.connection()
        self._fragments = []
        self.closed = False

    def feed(self, data):
        self.conn.receive_data(data)
        for event in self.conn.events_received():
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragments.append(bytes(event.data))
                if event.fin:
                    self.messages.append(b"".join(self._fragments))
                    self._fragments = []
        self.written += b"".join(self.conn.data_to_send())


class Splitting(Recorder):
    """The reader under test, in uvicorn's protocol with a transport that records."""

    def __init__(self):
        super().__init__()
        recorder = self

        class Protocol(TextFrameProtocol):
            def __init__(self):
                self.conn = recorder.connection()
                self.handshake_initiated = self.handshake_complete = True
                self.close_sent = False
                self.frames = []
                self.close_timer = self.pending_ping_payload = None
                self.queue = SimpleNamespace(put_nowait=lambda _: None)
                self.transport = SimpleNamespace(
                    write=recorder.write, close=lambda: None, is_closing=lambda: False
                )

            def send_receive_event_to_app(self):
                self.receive_text(b"".join(self.frames))
                self.frames = []

            def receive_text(self, data):
                recorder.messages.append(bytes(data))

        self.protocol = Protocol()

    def write(self, data):
        self.written += data

    def feed(self, data):
        self.protocol.data_received(data)


def masked(opcode, payload, *, fin=True, rsv=0, mask=b"\x01\xfe\x80\x37", width=None):
    """A frame of a client; `width` forces a longer form of the length."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    width = width or (1 if size < 126 else 2 if size < 65536 else 8)
    if width == 1:
        head += bytes([0x80 | size])
    else:
        head += bytes([0x80 | (126 if width == 2 else 127)]) + size.to_bytes(width, "big")
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


payloads = st.binary(max_size=40) | st.sampled_from([b"x" * size for size in (125, 126, 127, 300, 1_000)])
whole_frames = st.builds(
    masked,
    st.sampled_from([1, 1, 1, 1, 2, 9, 10]),
    payloads.filter(lambda payload: len(payload) < 126),
    mask=st.binary(min_size=4, max_size=4),
) | st.builds(masked, st.just(1), payloads, width=st.sampled_from([None, 8]))
fragmented = st.tuples(st.lists(st.binary(max_size=9), min_size=1, max_size=3), st.binary(max_size=5)).map(
    lambda parts: (
        masked(1, parts[1], fin=False)
        + b"".join(masked(0, part, fin=False) + masked(9, part[:3]) for part in parts[0])
        + masked(0, b"end")
    )
)
odd_frames = st.one_of(
    st.builds(masked, st.integers(0, 15), st.binary(max_size=20), fin=st.booleans(), rsv=st.integers(0, 7)),
    st.builds(text_frame, st.binary(max_size=20)),
    st.just(masked(1, b"x" * (MAX_SIZE + 1))),
    st.just(masked(8, b"\x03\xe8bye")),
    st.just(b"\x81\xff" + b"\x7f" * 8),
    st.binary(max_size=20),
)
streams = st.lists(whole_frames | fragmented, max_size=8).flatmap(
    lambda frames: st.lists(odd_frames | whole_frames, max_size=3).map(lambda odd: b"".join(frames + odd))
)


def split(stream, cuts):
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@given(streams, st.lists(st.integers(0, 100_000), max_size=12))
@settings(max_examples=150, deadline=None)
def test_reader_sees_what_the_library_sees(stream, cuts):
    library, splitting = Library(), Splitting()
    # In small pieces: the library drops the frames that precede a malformed one in the same piece.
    for part in split(stream, range(len(stream))):
        library.feed(part)
    for part in split(stream, cuts):
        splitting.feed(part)
    assert splitting.messages == library.messages
    assert splitting.written == library.written
    assert splitting.protocol.conn.state is library.conn.state


@given(st.binary(max_size=70_000) | st.sampled_from([b"x" * size for size in (0, 125, 126, 65_535, 65_536)]))
@settings(max_examples=50, deadline=None)
def test_text_frame_is_what_the_library_writes(payload):
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@pytest.mark.parametrize("cut", range(1, 20))
def test_frames_before_the_end_of_the_handshake_are_read_by_the_library(cut):
    splitting = Splitting()
    conn = splitting.protocol.conn
    stream = masked(1, b"early bird") + masked(1, b"second")
    conn._state = CONNECTING
    splitting.feed(stream[:cut])
    conn._state = OPEN
    splitting.feed(stream[cut:])
    assert splitting.messages == [b"early bird", b"second"]
