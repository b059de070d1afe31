"""Notices within two seconds that a request or its reply was lost.

The instance that received a request may have lost its host, its process or its link. A caller without a reply asks all
instances whether one of them still handles the request. If none does, an idempotent request is sent a second time; of
another, or if the second one is lost too, the outcome is unknown. An instance that is merely slow is waited for, and gets no
further work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")
# How long a caller waits before it asks whether its request is handled, and between these questions.
PATIENCE_S = 0.7
# The reply may be on its way when the instances answer.
GRACE_S = 0.2


class RequestLost(Exception):
    """No instance handles the request, and no reply came."""


async def wait_for_reply(
    attempt: Callable[[], Coroutine[Any, Any, R]],
    is_handled: Callable[[], Awaitable[bool]],
    *,
    repeat: bool,
    patience_s: float = PATIENCE_S,
    grace_s: float = GRACE_S,
) -> R:
    """The first reply, or the first error, of an attempt; with `repeat` also of a second. Raises RequestLost.

    `is_handled` tells whether an instance handles one of the attempts.
    """
    running = {asyncio.create_task(attempt())}
    wait_s = patience_s
    try:
        while not await _is_done(running, wait_s):
            if await is_handled():
                wait_s = patience_s
            elif repeat:
                running.add(asyncio.create_task(attempt()))
                repeat, wait_s = False, grace_s
            elif len(running) > 1 or not await _is_done(running, grace_s):
                raise RequestLost
        return next(task for task in running if task.done()).result()
    finally:
        for task in running:
            task.cancel()
        for task in running:
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _is_done(running: set[asyncio.Task[R]], within_s: float) -> bool:
    done, _ = await asyncio.wait(running, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)
