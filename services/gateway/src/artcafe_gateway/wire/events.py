"""Server-sent events: their text form, and the bounded buffer of one response.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable

import msgspec

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = b": keep-alive\n\n"
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")


def encode_event(data: bytes, name: str = "message", event_id: int | None = None) -> bytes:
    """One event; `message` is the name of events without one."""
    head = b"" if event_id is None else b"id: %d\n" % event_id
    if name != "message":
        head += b"event: %b\n" % name.encode()
    # JSON text may have line breaks between its tokens.
    lines = _LINE_BREAK.split(data) if b"\n" in data or b"\r" in data else [data]
    return head + b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def encode_end(code: str) -> bytes:
    """The last event of a stream; `code` says why it ends."""
    return encode_event(msgspec.json.encode({"type": "end", "code": code}), "end")


def encode_retry(delay_ms: int) -> bytes:
    """How long a client waits before it connects again."""
    return b"retry: %d\n\n" % delay_ms


class EventQueue:
    """The send buffer of one response: read by `chunks`, and bounded.

    When more than `limit` bytes wait, `on_overflow` is called, which closes it.
    """

    def __init__(self, limit: int, on_overflow: Callable[[], None]) -> None:
        self._limit = limit
        self._on_overflow = on_overflow
        self._chunks: list[bytes] = []
        self._size = 0
        self._changed = asyncio.Event()
        self.closed = False

    @property
    def backlog(self) -> int:
        """Bytes that wait."""
        return self._size

    @property
    def half_full(self) -> bool:
        """Whether senders that can wait should wait."""
        return self._size > self._limit // 2

    def push(self, frame: bytes) -> bool:
        """Queues events; False when the stream is closed, which it is after exceeding the limit."""
        if self.closed:
            return False
        if self._size + len(frame) > self._limit:
            self._on_overflow()
            return False
        self._append(frame)
        return True

    def write(self, joined: bytes) -> bool:
        """As `push`."""
        return self.push(joined)

    async def send_text(self, text: str) -> bool:
        """As `push`."""
        return self.push(text.encode())

    def close(self, last: bytes, *, discard: bool = False) -> None:
        """Ends the stream after a last event, and with `discard` without those that wait. Idempotent."""
        if self.closed:
            return
        if discard:
            self._chunks.clear()
            self._size = 0
        self._append(last)
        self.closed = True

    def _append(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._changed.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What to send, until the stream is closed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            joined, ended = b"".join(self._chunks), self.closed
            self._chunks.clear()
            self._size = 0
            if joined:
                yield joined
            if ended:
                return
