"""How a subscriber that reads a channel's history waits while the history cannot be read."""

import time
from enum import Enum

from artcafe_common.bus.errors import CommandError

# Shorter outages, such as the election of a stream's leader, go unnoticed.
NOTICE_AFTER_S = 5.0
END_AFTER_S = 120.0


class RecoveryDelayed(CommandError):
    """The history of a channel that is subscribed to with `since` or `last` cannot be read for some seconds.

    Its messages wait, and arrive when it can be read again. `detail` has the `channel` and the `seq` of the last
    message that was delivered.
    """

    status = 503
    code = "recovery_delayed"
    title = "The channel's history cannot be read now; its messages arrive later"
    remedy = (
        "Wait: the gateway tries again by itself, and closes the connection if that fails for two minutes."
    )


class RecoveryFailed(CommandError):
    """The history of a channel that is subscribed to with `since` or `last` could not be read for two minutes.

    The connection is closed with 1013. `detail` has the `channel` and the `seq` of the last message that was delivered.
    """

    status = 503
    code = "recovery_failed"
    title = "The channel's history could not be read"
    remedy = "Reconnect, and subscribe with `since` one more than the `seq` in `detail`."


class OutageStage(Enum):
    """How far an outage has come since the last attempt."""

    NOTHING_NEW = "nothing new"
    NOTICE = "notice"
    END = "end"


class Outage:
    """Measures how long attempts have been failing."""

    __slots__ = ("_began_at", "_noticed")

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._noticed = False

    def record_failure(self) -> OutageStage:
        """An attempt failed; NOTICE is returned once in an outage."""
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
        lasted_s = now - self._began_at
        if lasted_s >= END_AFTER_S:
            return OutageStage.END
        if lasted_s >= NOTICE_AFTER_S and not self._noticed:
            self._noticed = True
            return OutageStage.NOTICE
        return OutageStage.NOTHING_NEW

    def record_success(self) -> None:
        """The outage is over."""
        self._began_at, self._noticed = None, False
