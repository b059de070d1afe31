"""The message that every row publishes: 256 bytes of JSON with a sequence number and a send time.

`MARK` occurs once in each message and nowhere else on the wire: it has three bytes, because a frame
header can contain any two. Counting marks therefore counts messages of any protocol.
"""

import re
import time

SIZE = 256
MARK = b"^`^"
_HEAD = b'{"n":"%010d","t":"%020d","p":"^`^'
_PAD = b"x" * (SIZE - len(_HEAD % (0, 0)) - 2) + b'"}'
_FIELDS = re.compile(rb'"n":"(\d{10})","t":"(\d{20})"')


class MarkCounter:
    """Counts marks in a byte stream that arrives in chunks."""

    __slots__ = ("_tail",)

    def __init__(self):
        self._tail = b""

    def count(self, data, size):
        """The marks that end in the first `size` bytes of `data`."""
        overlap = len(MARK) - 1
        across = (self._tail + data[: min(overlap, size)]).count(MARK)
        self._tail = (self._tail + data[max(0, size - overlap) : size])[-overlap:]
        return data.count(MARK, 0, size) + across


def build_message(number, sent_at=None):
    """Message `number`, with the current time unless `sent_at` (nanoseconds) is given."""
    return _HEAD % (number, time.monotonic_ns() if sent_at is None else sent_at) + _PAD


def parse_messages(data):
    """The (number, send time in nanoseconds) of every message in received bytes."""
    return [(int(number), int(sent_at)) for number, sent_at in _FIELDS.findall(data)]
