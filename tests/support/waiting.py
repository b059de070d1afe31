"""Waiting for a condition."""

import asyncio
import inspect

# How long a test waits for something that must not happen.
QUIET_PERIOD_S = 0.4


async def eventually(check, *, within=10.0, every=0.05):
    """Poll `check` (sync or async) and return its first truthy result; AssertionError on timeout.

    An AssertionError that `check` raises counts as "not yet".
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    last = failure = None
    while loop.time() < deadline:
        try:
            last, failure = check(), None
            if inspect.isawaitable(last):
                last = await last
        except AssertionError as error:
            last, failure = None, error
        if last:
            return last
        await asyncio.sleep(every)
    raise AssertionError(f"did not happen within {within} s; last result: {failure or last!r}") from failure


async def holds(check, *, for_s=QUIET_PERIOD_S, every=0.05):
    """Assert that `check` (sync or async) stays truthy for a period."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + for_s
    while True:
        result = check()
        if inspect.isawaitable(result):
            result = await result
        assert result
        if loop.time() >= deadline:
            return
        await asyncio.sleep(every)


async def eventually_equals(read, expected, *, within=10.0, every=0.05):
    """Poll `read` (async) until it returns `expected`, as a list does that follows changes later."""

    async def check():
        found = await read()
        assert found == expected
        return True

    await eventually(check, within=within, every=every)
