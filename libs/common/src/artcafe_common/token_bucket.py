"""A token bucket: a rate limit that allows short bursts."""

import time

MIN_BURST = 100.0


class TokenBucket:
    """`rate` tokens per second, with bursts of 0.1 s but at least 100 tokens; a rate of 0 is unlimited."""

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = max(rate / 10, MIN_BURST)
        self._tokens = self._burst
        self._filled_at = time.monotonic()

    def try_consume(self, tokens: int = 1) -> bool:
        """Consume tokens, at most the burst; False when the bucket has fewer."""
        if self._rate <= 0:
            return True
        now = time.monotonic()
        # Each time, so that no time counts in which the bucket was full.
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True
