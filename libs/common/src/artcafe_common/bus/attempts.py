"""Sends an idempotent request a second time while its reply does not come.

The instance that received a request may have lost its host, its process or its link. The first request is not
cancelled, so a slow instance may still reply. A budget limits the second attempts, so that instances which are merely
slow are not given twice the work.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")
PATIENCE_S = 1.0
SHARE = 0.1
MAX_SAVED = 10.0


class SecondAttempts:
    """The budget of second attempts: `SHARE` of the requests, and up to `MAX_SAVED` at once."""

    def __init__(self) -> None:
        self._saved = MAX_SAVED

    def earn(self) -> None:
        """Count a request."""
        self._saved = min(self._saved + SHARE, MAX_SAVED)

    def spend(self) -> bool:
        """Whether a second attempt may start; it then counts."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


async def first_reply(
    attempt: Callable[[], Coroutine[Any, Any, R]],
    second: SecondAttempts,
    *,
    patience_s: float = PATIENCE_S,
) -> R:
    """The first reply, or the first error, of one attempt and of the second that starts after `patience_s`."""
    second.earn()
    running = {asyncio.create_task(attempt())}
    try:
        done, _ = await asyncio.wait(running, timeout=patience_s)
        if not done:
            if second.spend():
                running.add(asyncio.create_task(attempt()))
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in running:
            task.cancel()
        for task in running:
            with suppress(asyncio.CancelledError, Exception):
                await task
