"""Flushes of a connection, shared by concurrent callers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from artcafe_common.bus.errors import CommandError
from artcafe_gateway.errors import BrokerUnavailable

OnFlushed = Callable[[CommandError | None], None]
log = structlog.get_logger()


class FlushCoalescer:
    """Runs one flush at a time; callers that arrive during one share the next.

    `flush_connection` does one round trip to the broker, and raises CommandError when it fails.
    """

    def __init__(self, flush_connection: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._flush_connection = flush_connection
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._callbacks: list[OnFlushed] = []
        self._callback_tasks: set[asyncio.Task[None]] = set()

    async def flush(self) -> None:
        """Returns once the broker has everything published before the call; CommandError."""
        if self._next is None:
            self._next = asyncio.create_task(self._flush_after(self._running))
        await asyncio.shield(self._next)

    async def _flush_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait({running})
        # What is published from here on may come too late for this flush, so it needs the next one.
        self._running, self._next = self._next, None
        await self._flush_connection()

    def call_when_flushed(self, on_flushed: OnFlushed) -> None:
        """Calls `on_flushed` once the broker has everything published before, or with the error."""
        if not self._callbacks:
            task = asyncio.get_running_loop().create_task(self._run_callbacks())
            self._callback_tasks.add(task)
            task.add_done_callback(self._callback_tasks.discard)
        self._callbacks.append(on_flushed)

    async def _run_callbacks(self) -> None:
        # One round trip serves all callers of this turn of the event loop.
        await asyncio.sleep(0)
        callbacks, self._callbacks = self._callbacks, []
        error: CommandError | None = None
        try:
            await self.flush()
        except CommandError as flush_error:
            error = flush_error
        except Exception:
            log.exception("flush_failed")
            error = BrokerUnavailable()
        for on_flushed in callbacks:
            try:
                on_flushed(error)
            except Exception:
                log.exception("flush_callback_failed")
