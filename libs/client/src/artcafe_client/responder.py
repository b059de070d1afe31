"""Functions that answer requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from artcafe_client.errors import ArtcafeError
from artcafe_client.message import Message
from artcafe_client.receive_queue import Source
from artcafe_client.subscription import Subscription
from artcafe_client.tasks import Tasks
from artcafe_client.tracing import Tracing

Handler = Callable[[Message], Awaitable[Any]]
log = logging.getLogger("artcafe_client")


class Responders:
    """The functions that answer requests, each with a bounded number of calls at a time."""

    def __init__(self, tasks: Tasks, tracing: Tracing) -> None:
        self._tasks = tasks
        self._tracing = tracing
        self._waiting: list[tuple[Source, Handler, int]] = []
        self._serving: set[asyncio.Task[Any]] = set()

    def keep(self, source: Source, handler: Handler, concurrency: int) -> None:
        """Note a function until the client is opened."""
        self._waiting.append((source, handler, concurrency))

    def take_waiting(self) -> list[tuple[Source, Handler, int]]:
        """The functions that were noted."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def serve(self, subscription: Subscription, handler: Handler, concurrency: int) -> None:
        """Answer the messages of a subscription until it ends."""
        task = self._tasks.start(self._serve(subscription, handler, concurrency))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def wait(self, deadline: float) -> None:
        """Wait for the functions that still run; their subscriptions have ended."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))

    async def _serve(self, subscription: Subscription, handler: Handler, concurrency: int) -> None:
        places = asyncio.Semaphore(concurrency)
        running: set[asyncio.Task[Any]] = set()

        def done(task: "asyncio.Task[Any]") -> None:
            running.discard(task)
            places.release()

        try:
            async for message in subscription:
                await places.acquire()
                task = self._tasks.start(self._answer(message, handler))
                running.add(task)
                task.add_done_callback(done)
        except ArtcafeError as error:
            log.error(
                "requests are not answered any more: %s", error, extra={"subscription": repr(subscription)}
            )
        if running:
            await asyncio.wait(running)

    async def _answer(self, message: Message, handler: Handler) -> None:
        with self._tracing.handling(message):
            try:
                answer = await handler(message)
                if answer is not None and message.reply is not None:
                    await message.respond(answer)
            except Exception:
                log.exception("a request was not answered", extra={"subject": message.subject})
