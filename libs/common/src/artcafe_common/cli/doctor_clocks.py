"""The doctor's comparison of the servers' clocks with this host's."""

import time
from email.utils import parsedate_to_datetime

from artcafe_common.cli.doctor_results import CheckResult, fail, ok, warn

CLOCK_WARN_S = 2.0
CLOCK_FAIL_S = 30.0


class ClockOffsets:
    """The offsets of the servers' clocks that the other checks measure, in seconds.

    A server read its clock at some time between request and response. The offset is the least that is certain, so that
    a slow response is not taken for a wrong clock.
    """

    def __init__(self) -> None:
        self.by_server: dict[str, float] = {}

    def record(
        self, server: str, server_time: float, requested_at: float, *, precision_s: float = 0.0
    ) -> None:
        """Record a server's time at its response; it was truncated to a multiple of `precision_s`."""
        least, most = server_time - time.time(), server_time + precision_s - requested_at
        self.by_server[server] = least if least > 0 else min(most, 0.0)

    def record_date(self, server: str, date: str | None, requested_at: float) -> None:
        """Record an HTTP `Date` header, which is truncated to whole seconds."""
        if date:
            self.record(server, parsedate_to_datetime(date).timestamp(), requested_at, precision_s=1)


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
