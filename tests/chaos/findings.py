"""What the checkers count in one round."""

import time
from itertools import pairwise

import msgspec


class Findings(msgspec.Struct, kw_only=True):
    """One row of the table; None where a kind of traffic has no such number."""

    fault: str
    traffic: str
    rounds: int = 1
    acknowledged: int = 0
    lost: int | None = None
    doubled: int | None = None
    disordered: int | None = None
    # Counted messages beyond those that were sent, and acknowledged ones that were not counted.
    overcounted: int | None = None
    uncounted: int | None = None
    longest_gap_s: float | None = None
    revocation_s: float | None = None
    errors: dict[str, int] = {}
    slowest_read_s: float | None = None
    slowest_write_s: float | None = None

    def add(self, other):
        """The worst of two rounds; what is counted is added."""
        for name in ("rounds", "acknowledged", "lost", "doubled", "disordered", "overcounted", "uncounted"):
            values = [each for each in (getattr(self, name), getattr(other, name)) if each is not None]
            setattr(self, name, sum(values) if values else None)
        for name in ("longest_gap_s", "revocation_s", "slowest_read_s", "slowest_write_s"):
            values = [each for each in (getattr(self, name), getattr(other, name)) if each is not None]
            setattr(self, name, max(values) if values else None)
        for kind, count in other.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count


class Arrivals:
    """Numbers in the order in which they arrived."""

    def __init__(self):
        self.numbers = []
        self._times = [time.monotonic()]

    def add(self, number):
        self.numbers.append(number)
        self._times.append(time.monotonic())

    @property
    def longest_gap_s(self):
        """The longest time without an arrival, until now."""
        return max(after - before for before, after in pairwise([*self._times, time.monotonic()]))


def compare(acknowledged, numbers):
    """How many of the acknowledged numbers are missing, and how many numbers come twice or after a later one."""
    seen, doubled, disordered, highest = set(), 0, 0, -1
    for number in numbers:
        if number in seen:
            doubled += 1
        elif number < highest:
            disordered += 1
        seen.add(number)
        highest = max(highest, number)
    return {"lost": len(set(acknowledged) - seen), "doubled": doubled, "disordered": disordered}
