"""Confirmations of what was sent over NATS: one flush for all that wait."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors

from artcafe_client.errors import ArtcafeError, ConnectionLost


class Confirmations:
    """What waits until the broker has processed it.

    The broker answers a PING after what was sent before, and says first which of it it refused.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]]) -> None:
        self._flush = flush
        self._next: list[tuple[str, asyncio.Future[None]]] = []
        self._current: list[tuple[str, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, subject: str) -> "asyncio.Future[None]":
        """Done when the broker has processed what is sent before the next turn of the loop."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append((subject, future))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        return future

    def refuse(self, text: str, error: ArtcafeError) -> bool:
        """The broker refused a subject; returns whether something waited for that."""
        said = text.lower()
        hit = False
        for subject, future in (*self._current, *self._next):
            # nats-py puts the broker's text into lower case.
            if subject and f'"{subject.lower()}"' in said and not future.done():
                future.set_exception(error)
                hit = True
        return hit

    def end(self, error: ArtcafeError) -> None:
        """The connection has ended."""
        for _, future in (*self._current, *self._next):
            if not future.done():
                future.set_exception(error)
                # Nobody may wait for it any more.
                future.exception()

    async def _run(self) -> None:
        while self._next:
            self._current, self._next = self._next, []
            try:
                await self._flush()
            except (nats.errors.Error, OSError, asyncio.TimeoutError):
                self.end(ConnectionLost("the broker did not confirm in time"))
                return
            for _, future in self._current:
                if not future.done():
                    future.set_result(None)
            self._current = []
