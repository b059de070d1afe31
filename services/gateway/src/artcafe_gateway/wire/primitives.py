"""What every idle WebSocket holds, in a few bytes: asyncio's own keep four deques for the same (3 KiB)."""

import asyncio
from typing import Any


class ReceiveQueue:
    """A queue with one consumer; short, since reading pauses while something waits."""

    __slots__ = ("_items", "_waiter")

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._items

    def put_nowait(self, item: Any) -> None:
        """Add an item."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> Any:
        """The oldest item, when there is one."""
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.pop(0)


class LightEvent:
    """An event that is nearly always set."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let everybody through."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def clear(self) -> None:
        """Let nobody through."""
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        """Return when it is set."""
        while self._waiter is not None:
            await asyncio.shield(self._waiter)
