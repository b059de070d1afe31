"""The delay before the next attempt to connect."""

import random
from collections.abc import Callable


class Backoff:
    """A random delay between zero and a bound that doubles with each attempt ("full jitter").

    A delay that the server named is used as it is.
    """

    def __init__(
        self,
        first_s: float = 0.5,
        max_s: float = 30.0,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._uniform = uniform
        self.attempts = 0

    @property
    def bound_s(self) -> float:
        """The longest delay that the next call of `next_delay` returns."""
        return float(min(self._max_s, self._first_s * 2 ** min(self.attempts, 30)))

    def next_delay(self, retry_after_s: float | None = None) -> float:
        """The delay in seconds before the next attempt."""
        bound = self.bound_s
        self.attempts += 1
        return retry_after_s if retry_after_s is not None else self._uniform(0.0, bound)

    def reset(self) -> None:
        """Start again with the first bound; call once a connection has proved stable."""
        self.attempts = 0
