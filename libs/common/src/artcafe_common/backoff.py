"""Pauses between attempts."""

import random


class Backoff:
    """Pauses that double from `first_s` up to `max_s`, each shortened by a random part of up to a half.

    The random part keeps those that wait for the same thing from coming back together.
    """

    __slots__ = ("_first_s", "_max_s", "_pause_s")

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._pause_s = first_s

    def next_pause_s(self) -> float:
        """How long to wait now; the next pause is longer."""
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._max_s)
        return random.uniform(pause_s / 2, pause_s)

    def reset(self) -> None:
        """An attempt succeeded: begin with the first pause again."""
        self._pause_s = self._first_s
