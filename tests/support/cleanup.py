"""Connections and processes that a test opened; the fixture `close_resources` closes them after it."""

import asyncio
import contextlib

_CLOSE_TIMEOUT_S = 5
_open = []


def close_after_test(resource, close):
    """Close `resource` with the coroutine function `close` when the test ends; returns `resource`."""
    _open.append(close)
    return resource


async def close_all():
    while _open:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(_open.pop()(), _CLOSE_TIMEOUT_S)


def keep_open_after_test():
    """Leave open what was opened so far: it belongs to a fixture with a wider scope."""
    _open.clear()
