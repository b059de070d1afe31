"""The message that is sent in every row: 256 bytes of JSON with a number and a time.

`MARK` is in it once and nowhere else on the wire (three bytes, because the header of a frame may
hold any two), so counting it counts messages whatever protocol is around them.
"""

import re
import time

SIZE = 256
MARK = b"^`^"
_HEAD = b'{"n":"%010d","t":"%020d","p":"^`^'
_PAD = b"x" * (SIZE - len(_HEAD % (0, 0)) - 2) + b'"}'
_FIELDS = re.compile(rb'"n":"(\d{10})","t":"(\d{20})"')


class Marks:
    """Counts marks in a stream that comes in pieces."""

    __slots__ = ("_tail",)

    def __init__(self):
        self._tail = b""

    def count(self, data, size):
        """The marks that end in the first `size` bytes of `data`."""
        keep = len(MARK) - 1
        across = (self._tail + data[: min(keep, size)]).count(MARK)
        self._tail = (self._tail + data[max(0, size - keep) : size])[-keep:]
        return data.count(MARK, 0, size) + across


def message(number, at=None):
    """Message `number`, made now."""
    return _HEAD % (number, time.monotonic_ns() if at is None else at) + _PAD


def fields(data):
    """The (number, time) of every message in received bytes."""
    return [(int(number), int(at)) for number, at in _FIELDS.findall(data)]
