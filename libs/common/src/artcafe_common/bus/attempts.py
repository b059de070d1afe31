"""Notices within two seconds that a request or its reply was lost.

The instance that received a request may have lost its host, its process or its link. A caller without a reply asks all
instances whether one of them still handles the request. If none does, an idempotent request is sent a second time; of
another, or if the second one is lost too, the outcome is unknown. An instance that is merely slow is waited for, and gets no
further work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

import msgspec

R = TypeVar("R")
# A request that is lost, and whose second attempt is lost too, has an answer within this time.
ANSWER_WITHIN_S = 1.75
# A call that begins late in its request has this time at least, and is not sent again.
MIN_ANSWER_WITHIN_S, REPEAT_FROM_S = 0.4, 1.0


class Patience(msgspec.Struct, frozen=True):
    """What a call does with the time that is left of its request."""

    # Before the caller asks whether its request is handled, and between these questions.
    reply_s: float
    # For the answer to that question.
    handled_s: float
    # The reply may be on its way when the instances answer.
    grace_s: float
    # Whether there is time for a second attempt.
    may_repeat: bool

    @classmethod
    def after(cls, elapsed_s: float) -> Self:
        """That of a call which begins so long after its request."""
        left_s = max(MIN_ANSWER_WITHIN_S, ANSWER_WITHIN_S - elapsed_s)
        return cls(0.35 * left_s, 0.27 * left_s, 0.1 * left_s, left_s >= REPEAT_FROM_S)


class RequestLost(Exception):
    """No instance handles the request, and no reply came."""


async def wait_for_reply(
    attempt: Callable[[], Coroutine[Any, Any, R]],
    is_handled: Callable[[], Awaitable[bool]],
    *,
    repeat: bool,
    patience_s: float,
    grace_s: float,
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
