"""Background tasks that are not lost, and whose failures are logged."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("artcafe_client")


class Tasks:
    """The running background tasks of a client."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def wait(self, timeout_s: float) -> None:
        """Wait for the running tasks, at most `timeout_s`."""
        others = self._running - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=timeout_s)

    async def cancel(self) -> None:
        """Cancel the running tasks, and wait for their end."""
        others = self._running - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a background task failed", exc_info=task.exception())
