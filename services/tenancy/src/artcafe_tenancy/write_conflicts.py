"""Retries of optimistic writes: read, write on condition, and read again after a conflict."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.retrying import retrying

T = TypeVar("T")


class WriteConflict(Exception):
    """Another change came between the read and the write."""


async def repeat_on_conflict(change: Callable[[], Awaitable[T]]) -> T:
    """The result of `change`, which reads and writes; it is called again while it raises WriteConflict."""
    try:
        async for attempt in retrying(WriteConflict):
            with attempt:
                return await change()
    except WriteConflict:
        raise StoreUnavailable("too many concurrent changes") from None
    raise AssertionError("unreachable")
