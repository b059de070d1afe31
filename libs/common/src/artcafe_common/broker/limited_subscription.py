"""A subscription for which the broker delivers a limited number of messages, and which costs little while idle.

It uses private parts of nats-py, as the client does; see `client`.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import nats.errors
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription


class _Handler:
    """Passes each message to a function, in the place of nats-py's future for a single one.

    A subscription with a callback would have a queue and a task of its own: 5 KiB for each.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: Callable[[Msg], None]) -> None:
        self._handle = handle

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return False

    def set_result(self, message: Msg) -> None:
        self._handle(message)


class LimitedSubscription:
    """A subscription that the broker ends after `limit` messages; `handler` is called while reading, so it is short."""

    __slots__ = ("_limit", "_subscription")

    def __init__(self, subscription: Subscription, limit: int) -> None:
        self._subscription = subscription
        self._limit = limit

    @classmethod
    async def open(
        cls, nc: Nats, subject: str, *, queue: str, limit: int, handler: Callable[[Msg], None]
    ) -> "LimitedSubscription":
        """Subscribe as a member of a queue group."""
        future: Any = _Handler(handler)
        subscription = await nc.subscribe(subject, queue=queue, future=future)
        queued: Any = None
        subscription._pending_queue = queued
        # Not by its `unsubscribe`, which looks into the queue.
        subscription._max_msgs = limit
        if nc.is_connected:
            await nc._send_unsubscribe(subscription._id, limit=limit)
        return cls(subscription, limit)

    @property
    def exhausted(self) -> bool:
        """Whether the last message was delivered."""
        return self._subscription._received >= self._limit

    async def end(self) -> None:
        """End the subscription before."""
        nc = self._subscription._conn
        with suppress(nats.errors.Error, OSError):
            nc._remove_sub(self._subscription._id)
            if nc.is_connected:
                await nc._send_unsubscribe(self._subscription._id)
