"""A histogram of durations that costs the measured path a binary search and three additions."""

from bisect import bisect_left

# Upper bounds in seconds; what is longer is in a last bucket without a bound.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class LatencyHistogram:
    """Counts durations by bucket. Not safe for threads: one event loop observes and reads it."""

    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.buckets)


class CallStatistics:
    """Counts calls by name and outcome, and their durations by name; both sets of words must be bounded."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, LatencyHistogram] = {}

    def record(self, name: str, outcome: str, seconds: float) -> None:
        """Count one call."""
        key = (name, outcome)
        self.counts[key] = self.counts.get(key, 0) + 1
        durations = self.seconds.get(name)
        if durations is None:
            durations = self.seconds[name] = LatencyHistogram()
        durations.observe(seconds)
