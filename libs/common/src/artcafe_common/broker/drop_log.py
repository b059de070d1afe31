"""Counts the messages that a connection drops, and logs them within bounds."""

import time
from collections import Counter
from pathlib import Path
from traceback import walk_tb
from typing import ClassVar

import structlog

# At most one log line of a connection in this time.
LOG_INTERVAL_S = 10.0
log = structlog.get_logger()


class DropLog:
    """What one connection dropped. The log names the cause only, never a subject or content of a message."""

    # Of all connections of this process, by the type of the error: connections come and go, the count stays.
    by_error: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self.connection = ""
        self.count = 0
        self._logged_count = 0
        self._logged_at = -LOG_INTERVAL_S

    def record(self, error: BaseException) -> None:
        """Counts one dropped message, and logs it unless another one was logged a short time ago."""
        self.count += 1
        self.by_error[type(error).__name__] += 1
        now = time.monotonic()
        if now - self._logged_at < LOG_INTERVAL_S:
            return
        log.warning(
            "message_dropped",
            connection=self.connection,
            error=type(error).__name__,
            at=_place(error),
            count=self.count - self._logged_count,
            total=self.count,
        )
        self._logged_at, self._logged_count = now, self.count


def _place(error: BaseException) -> str:
    """The file and line that raised the error; its text may contain the message."""
    places = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return places[-1] if places else ""
