"""The send queue and the socket of a WebSocket, without a network."""

import json
import time


def decode_frames(data):
    """The JSON documents in unmasked WebSocket text frames."""
    frames = []
    while data:
        assert data[0] == 0x81
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10]), 10
        frames.append(json.loads(data[start : start + length]))
        data = data[start + length :]
    return frames


class FakeSendQueue:
    """Records the frames written to a socket; `open = False` rejects further frames."""

    def __init__(self):
        self.frames = []
        self.writes = 0
        self.open = True
        self.backlog = 0
        self.half_full = False

    def push(self, framed):
        return self.write(framed)

    def write(self, joined):
        if not self.open:
            return False
        self.writes += 1
        self.frames += decode_frames(joined)
        return True

    async def send_text(self, text):
        if not self.open:
            return False
        self.writes += 1
        self.frames.append(json.loads(text))
        return True

    def drain(self):
        """Return the frames received so far, and forget them."""
        frames, self.frames = self.frames, []
        return frames


class FakeSocket:
    """As `Socket`; `closed` is the close code and reason, `reconnect_ms` the announced spread."""

    def __init__(self, *, last_received_at=None):
        self.send_queue = FakeSendQueue()
        self.last_received_at = time.monotonic() if last_received_at is None else last_received_at
        self.closed = None
        self.reconnect_ms = None
        self.sent = []
        self.pings = []

    def send(self, out):
        self.sent.append(out)

    def send_error(self, error, frame_id=None):
        self.sent.append((error.code, frame_id))

    def send_reconnect(self, spread_ms):
        assert self.closed is None
        self.reconnect_ms = spread_ms

    def close(self, code, reason):
        if self.closed is None:
            self.closed = (code, reason)

    def keep_alive(self, now, every_s):
        self.pings.append((now, every_s))
