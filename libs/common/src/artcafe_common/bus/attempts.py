"""Sends a request that may be repeated again while its reply does not come.

The instance that received a request may have lost its host, its process or its link. The request is not taken back:
the first reply counts, so that one that only takes long costs no more than a second attempt.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")
# How long the attempts so far have, before a further one starts.
PATIENCE_S = (1.0, 1.5)


async def first_reply(
    attempt: Callable[[], Coroutine[Any, Any, R]], *, patience_s: Sequence[float] = PATIENCE_S
) -> R:
    """The first reply, or the first error, of up to three attempts."""
    running: set[asyncio.Task[R]] = set()
    try:
        for patience in (*patience_s, None):
            running.add(asyncio.create_task(attempt()))
            done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return done.pop().result()
        raise AssertionError("the last attempt has no patience")
    finally:
        for task in running:
            task.cancel()
        for task in running:
            with suppress(asyncio.CancelledError, Exception):
                await task
