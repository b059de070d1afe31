"""Bounds how often one warning is logged, so that an outage is told and does not fill the disk."""

import time

import structlog
from structlog.typing import EventDict, WrappedLogger

FIRST_INTERVAL_S = 10.0
MAX_INTERVAL_S = 60.0
# Kinds of warnings; both parts of a kind come from the code, so there are few.
MAX_KINDS = 1_000
# What tells apart warnings of one event.
_KIND_FIELDS = ("connection", "dependency", "durable", "job", "operation")


class RepeatLimiter:
    """A structlog processor: warnings of one kind that follow each other are logged at growing intervals.

    The first is logged at once. Further ones wait for the interval, which doubles up to `MAX_INTERVAL_S` while they go
    on; the next line that is logged has their number in `repeated`. A kind that was quiet for `MAX_INTERVAL_S`
    starts again. Other levels are not limited.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if event.get("level") != "warning":
            return event
        key = (str(event.get("event")), *(str(event.get(field, "")) for field in _KIND_FIELDS))
        now = time.monotonic()
        kind = self._kinds.get(key)
        if kind is None or now - kind.last_at > MAX_INTERVAL_S:
            if len(self._kinds) >= MAX_KINDS:
                self._kinds.clear()
            self._kinds[key] = _Kind(now)
            return event
        kind.last_at = now
        if now - kind.logged_at < kind.interval_s:
            kind.suppressed += 1
            raise structlog.DropEvent
        if kind.suppressed:
            event["repeated"] = kind.suppressed
        kind.logged_at, kind.suppressed = now, 0
        kind.interval_s = min(kind.interval_s * 2, MAX_INTERVAL_S)
        return event


class _Kind:
    __slots__ = ("interval_s", "last_at", "logged_at", "suppressed")

    def __init__(self, now: float) -> None:
        self.logged_at = self.last_at = now
        self.interval_s = FIRST_INTERVAL_S
        self.suppressed = 0
