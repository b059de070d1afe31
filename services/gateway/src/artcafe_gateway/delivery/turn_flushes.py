"""Writes what was rendered within one turn of the event loop, at its end."""

import asyncio
from typing import Protocol


class Flushable(Protocol):
    """Something that was rendered and not written."""

    def flush(self) -> None:
        """Writes it."""


class TurnFlushes:
    """What is written at the end of the turn, with one callback of the loop for all of it."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Flushable] = []

    def add(self, waiting: Flushable) -> None:
        """Flushes something at the end of this turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.append(waiting)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.flush()
