"""The doctor's comparison of the servers' clocks with this host's."""

import time
from email.utils import parsedate_to_datetime

from artcafe_common.cli.doctor_results import CheckResult, fail, ok, warn

CLOCK_WARN_S = 2.0
CLOCK_FAIL_S = 30.0


class ClockOffsets:
    """The offsets of the servers' clocks that the other checks measure, in seconds."""

    def __init__(self) -> None:
        self.by_server: dict[str, float] = {}

    def record(self, server: str, server_time: float, requested_at: float) -> None:
        """Record a server's time against the middle of the request."""
        self.by_server[server] = server_time - (requested_at + time.time()) / 2

    def record_date(self, server: str, date: str | None, requested_at: float) -> None:
        """Record an HTTP `Date` header, which is truncated to whole seconds."""
        if date:
            self.record(server, parsedate_to_datetime(date).timestamp() + 0.5, requested_at)


def check_clocks(offsets: dict[str, float]) -> list[CheckResult]:
    """Compare the servers' clocks with this host's; `offsets` are in seconds."""
    if not offsets:
        return [warn("clocks", "no server reported its time", "fix the failed checks, then run this again")]
    wrong = []
    for name, offset in offsets.items():
        detail = f"{name}'s clock is {offset:+.1f} s from this host's"
        remedy = f"sudo timedatectl set-ntp true   # on this host, or on the host of {name}"
        if abs(offset) > CLOCK_FAIL_S:
            wrong.append(fail("clocks", detail, remedy))
        elif abs(offset) > CLOCK_WARN_S:
            wrong.append(warn("clocks", detail, remedy))
    return wrong or [ok("clocks", f"within {CLOCK_WARN_S:g} s: {', '.join(offsets)}")]
