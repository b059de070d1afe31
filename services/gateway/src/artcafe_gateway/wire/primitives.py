"""A queue and an event for idle WebSockets: asyncio's own hold four deques, 3 KiB per socket."""

import asyncio
from collections.abc import Callable
from typing import Any


class ReceiveQueue:
    """A queue with one consumer; it stays short, since reading pauses while an item waits.

    The consumer waits in `get`, or has `on_item` called with each item and takes it with `pop`.
    """

    __slots__ = ("_items", "_waiter", "on_item")

    def __init__(self) -> None:
        self._items: list[Any] = []
        self.on_item: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether the queue has no item."""
        return not self._items

    def put_nowait(self, item: Any) -> None:
        """Adds an item."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif self.on_item is not None:
            self.on_item()

    def pop(self) -> Any:
        """Removes and returns the oldest item; IndexError if the queue is empty."""
        return self._items.pop(0)

    async def get(self) -> Any:
        """Removes and returns the oldest item; waits for one if the queue is empty."""
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.pop(0)


class LightEvent:
    """An event that is usually set; it allocates only while it is not."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Sets the event and wakes the waiters."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def clear(self) -> None:
        """Resets the event."""
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        """Returns once the event is set."""
        while self._waiter is not None:
            await asyncio.shield(self._waiter)
