"""The time at which messages were received: one for all that one read from the broker contained."""

import time
from datetime import UTC, datetime

import msgspec


class ReadTime:
    """`at_ms` is in milliseconds since the epoch; `field` is the `timestamp` that ends a frame.

    `recent_fields` are those of the last signature that was found to be recent: many messages have the same.
    """

    __slots__ = ("at_ms", "field", "recent_fields")

    def __init__(self) -> None:
        self.at_ms = time.time_ns() // 1_000_000
        self.recent_fields = b""
        self.field = b',"timestamp":%b}' % msgspec.json.encode(datetime.now(UTC))
