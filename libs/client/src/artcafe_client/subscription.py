"""Subscriptions, as programs see them."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType

from artcafe_client.message import Message
from artcafe_client.receive_queue import ReceiveQueue


class Subscription:
    """The messages of a subject or channel, as an asynchronous iterator.

    It begins when it is made. `await subscription` returns when the server has confirmed it; `async with` ends it at the
    end of the block.
    """

    def __init__(self, queue: ReceiveQueue, stop: Callable[[ReceiveQueue], Awaitable[None]]) -> None:
        self._queue = queue
        self._stop = stop

    def __repr__(self) -> str:
        return f"Subscription({self._queue.target.text!r})"

    def __await__(self) -> Generator[None, None, "Subscription"]:
        return self._confirmed().__await__()

    async def __aenter__(self) -> "Subscription":
        return await self._confirmed()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe()

    def __aiter__(self) -> "Subscription":
        return self

    def __anext__(self) -> Awaitable[Message]:
        # The queue's coroutine, without one around it for each message.
        return self._queue.get()

    async def next(self, timeout: float | None = None) -> Message:
        """The next message. asyncio.TimeoutError if there is none in time, StopAsyncIteration after the end."""
        return await asyncio.wait_for(self._queue.get(), timeout)

    async def unsubscribe(self) -> None:
        """End the subscription; what its queue holds can still be read."""
        await self._stop(self._queue)

    @property
    def pending(self) -> int:
        """How many messages wait in the queue."""
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """How many messages were lost because the queue was full."""
        return self._queue.dropped

    @property
    def duplicates(self) -> int:
        """How many repeated messages of a channel were left out."""
        return self._queue.duplicates

    async def _confirmed(self) -> "Subscription":
        await self._queue.confirmed()
        return self
