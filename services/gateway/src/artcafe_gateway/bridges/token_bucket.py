"""A token bucket: a rate limit that allows short bursts."""

import time

from artcafe_gateway.errors import RateLimited

MIN_BURST = 100.0


class TokenBucket:
    """`rate` tokens per second, with bursts of 0.1 s but at least 100 tokens; a rate of 0 is unlimited."""

    __slots__ = ("_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = max(rate / 10, MIN_BURST)
        self._tokens = self._burst
        self._filled_at = time.monotonic()

    def consume(self) -> None:
        """Consumes one token; RateLimited when the bucket is empty."""
        if self._rate <= 0:
            return
        if self._tokens < 1:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
            self._filled_at = now
            if self._tokens < 1:
                raise RateLimited(retry_after_s=1)
        self._tokens -= 1
