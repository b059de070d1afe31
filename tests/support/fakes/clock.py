"""A clock that stands still until a test advances it."""

from cachetools import TTLCache


class FakeClock:
    """Replaces the module `time` in a module under test."""

    def __init__(self, now=1_000_000.0):
        self.now = now

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds

    def ttl_cache(self, maxsize, ttl):
        """A `TTLCache` that uses this clock."""
        return TTLCache(maxsize, ttl, timer=self.monotonic)
