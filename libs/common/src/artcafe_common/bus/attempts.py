"""Notices within two seconds that a request or its reply was lost.

The instance that received a request may have lost its host, its process or its link. A caller without a reply asks all
instances whether one of them still handles the request. If none does, an idempotent request is sent a second time; of
another, or if the second one is lost too, the outcome is unknown. An instance that is merely slow is waited for, and gets no
further work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

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

    `is_handled` tells whether an instance handles one of the attempts. The first attempt runs in the caller's task;
    further tasks are created only if its reply is late.
    """
    watch = _Watch(attempt, is_handled, repeat=repeat, patience_s=patience_s, grace_s=grace_s)
    try:
        return await attempt()
    except asyncio.CancelledError:
        if not watch.has_interrupted():
            raise
        return watch.result()
    finally:
        await watch.end()


class _Watch(Generic[R]):
    """Waits for the first attempt of a call, and interrupts it when there is another reply, or none is to come.

    WAITING ── patience_s ──▶ ASKING ── a second reply, or the request is lost ──▶ INTERRUPTED
       │                         │                                                      │
       └──── the first attempt ends, or the call is cancelled ─────────▶ ENDED ◀────────┘
    """

    def __init__(
        self,
        attempt: Callable[[], Coroutine[Any, Any, R]],
        is_handled: Callable[[], Awaitable[bool]],
        *,
        repeat: bool,
        patience_s: float,
        grace_s: float,
    ) -> None:
        self._attempt = attempt
        self._is_handled = is_handled
        self._repeat = repeat
        self._patience_s = patience_s
        self._grace_s = grace_s
        caller = asyncio.current_task()
        if caller is None:
            raise RuntimeError("a call needs a task")
        self._caller, self._cancelling = caller, caller.cancelling()
        self._asking: asyncio.Task[R] | None = None
        self._interrupted = self._ended = False
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._begin)

    def _begin(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask())
        self._asking.add_done_callback(self._interrupt)

    def _interrupt(self, asking: "asyncio.Task[R]") -> None:
        if not self._ended and not asking.cancelled():
            self._interrupted = True
            self._caller.cancel()

    def has_interrupted(self) -> bool:
        """Whether only this watch has cancelled the call; then the cancellation is undone."""
        if not self._interrupted:
            return False
        self._interrupted = False
        return self._caller.uncancel() <= self._cancelling

    def result(self) -> R:
        """What the call returns or raises in place of the first attempt's result."""
        if self._asking is None:
            raise RequestLost
        return self._asking.result()

    async def end(self) -> None:
        """End what is still running."""
        self._ended = True
        self._timer.cancel()
        if self._interrupted:
            # The first attempt ended at the same time; Python 3.11's wait_for then drops the cancellation.
            self._caller.uncancel()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
            if not self._asking.cancelled():
                self._asking.exception()

    async def _ask(self) -> R:
        second: asyncio.Task[R] | None = None
        wait_s = 0.0
        try:
            while second is None or not await _is_done(second, wait_s):
                if await self._is_handled():
                    wait_s = self._patience_s
                elif self._repeat:
                    second = asyncio.create_task(self._attempt())
                    self._repeat, wait_s = False, self._grace_s
                    continue
                elif second is not None:
                    raise RequestLost
                else:
                    await asyncio.sleep(self._grace_s)
                    raise RequestLost
                if second is None:
                    await asyncio.sleep(wait_s)
            return second.result()
        finally:
            if second is not None:
                second.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await second


async def _is_done(task: "asyncio.Task[R]", within_s: float) -> bool:
    done, _ = await asyncio.wait({task}, timeout=within_s)
    return bool(done)
