"""Repeats what failed for the moment: after random, growing pauses, and within the caller's deadline."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import tenacity

FIRST_PAUSE_S = 0.02
MAX_PAUSE_S = 0.5
# The time in which a caller without a deadline, such as a background job, repeats a call.
DEFAULT_S = 4.0
# What is left of a deadline for the answer.
ANSWER_S = 0.2
# In `time.monotonic()`; None for callers that can wait.
_deadline: ContextVar[float | None] = ContextVar("_deadline", default=None)
_patience_s: ContextVar[float] = ContextVar("_patience_s", default=DEFAULT_S)


@contextmanager
def deadline(seconds: float | None, *, patience_s: float = DEFAULT_S) -> Iterator[None]:
    """Let the work in this context end within `seconds`; None for work that outlives its caller.

    `patience_s` is how long one of its calls waits for a store that does not respond or only fails.
    """
    ends_at = _deadline.set(None if seconds is None else time.monotonic() + seconds)
    patience = _patience_s.set(patience_s)
    try:
        yield
    finally:
        _deadline.reset(ends_at)
        _patience_s.reset(patience)


def time_left(default: float = DEFAULT_S) -> float:
    """The seconds in which the caller needs a result, at most `default`; 0 if it is too late."""
    until = _deadline.get()
    return default if until is None else max(0.0, min(default, until - time.monotonic() - ANSWER_S))


def patience() -> float:
    """The seconds that a call waits for a store that does not respond or only fails."""
    return _patience_s.get()


def retrying(
    *errors: type[Exception],
    within_s: float | None = DEFAULT_S,
    first_pause_s: float = FIRST_PAUSE_S,
    max_pause_s: float = MAX_PAUSE_S,
    on_failure: Callable[[BaseException], None] = lambda _error: None,
) -> tenacity.AsyncRetrying:
    """Attempts, each in `with attempt:`, until one raises none of `errors`; then, or when the time is up, it raises.

    The time is `within_s` and ends with the caller's deadline; None for as long as it takes, whatever the deadline.
    Pauses are random up to a bound that doubles ("full jitter"), so that callers that met do not meet again.
    """

    def report(state: tenacity.RetryCallState) -> None:
        if state.outcome is not None and (error := state.outcome.exception()) is not None:
            on_failure(error)

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(errors),
        wait=tenacity.wait_random_exponential(multiplier=first_pause_s, max=max_pause_s),
        stop=tenacity.stop_never if within_s is None else tenacity.stop_before_delay(time_left(within_s)),
        sleep=asyncio.sleep,
        before_sleep=report,
        reraise=True,
    )
