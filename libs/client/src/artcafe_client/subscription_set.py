"""All subscriptions of a client: started, paused, and started again on each new connection."""

import asyncio
import logging
import weakref
from collections.abc import Callable

from artcafe_client.error_codes import HistoryUnavailable
from artcafe_client.errors import ArtcafeError, ConnectionLost, ServerError
from artcafe_client.receive_queue import ReceiveQueue, Source
from artcafe_client.subscription import Subscription
from artcafe_client.tasks import Tasks
from artcafe_client.transports.link import Link

RETRY_S = 1.0
POLL_S = 0.01
# Statuses of errors that pass.
PASSING = (500, 502, 503, 504)
log = logging.getLogger("artcafe_client")


class SubscriptionSet:
    """The subscriptions of a client; `current_link` is the connection, once it was resumed."""

    def __init__(self, current_link: Callable[[], "Link | None"], tasks: Tasks) -> None:
        self._current_link = current_link
        self._tasks = tasks
        self._queues: dict[ReceiveQueue, None] = {}
        self._locks: weakref.WeakKeyDictionary[ReceiveQueue, asyncio.Lock] = weakref.WeakKeyDictionary()

    def add(self, source: Source) -> Subscription:
        """Begin a subscription."""
        queue = ReceiveQueue(self, source)
        self._queues[queue] = None
        self.proceed(queue)
        return Subscription(queue, self.stop)

    async def resume(self, link: Link) -> None:
        """Begin all of them on a new connection."""
        await asyncio.gather(*(self._start(link, each) for each in tuple(self._queues)))

    async def drain(self, deadline: float, stall_s: float) -> None:
        """Unsubscribe all, and wait until their queues are read, unless nobody reads them for `stall_s`."""
        ended = tuple(self._queues)
        await asyncio.gather(*(self.stop(each) for each in ended))
        loop = asyncio.get_running_loop()
        pending, changed_at = -1, loop.time()
        while pending and loop.time() < min(deadline, changed_at + stall_s):
            before, pending = pending, sum(map(len, ended))
            if pending != before:
                changed_at = loop.time()
            await asyncio.sleep(POLL_S if pending else 0)

    def end(self, error: "ArtcafeError | None") -> None:
        """End all of them."""
        for each in tuple(self._queues):
            if error is None:
                each.end()
            else:
                each.fail(error)
        self._queues.clear()

    async def stop(self, queue: ReceiveQueue) -> None:
        """Unsubscribe for good; harmless if it has ended."""
        if self._queues.pop(queue, self) is not self:
            queue.end()
            await self._leave(queue)

    def pause(self, queue: ReceiveQueue) -> None:
        """Stop receiving."""
        self._tasks.start(self._leave(queue))

    def proceed(self, queue: ReceiveQueue) -> None:
        """Receive again."""
        link = self._current_link()
        if link is not None:
            self._tasks.start(self._start(link, queue))

    async def _leave(self, queue: ReceiveQueue) -> None:
        link = self._current_link()
        async with self._lock(queue):
            if link is not None and (queue.is_ended or queue.is_paused):
                try:
                    await link.unsubscribe(queue)
                except ArtcafeError as error:
                    log.debug("unsubscribing failed: %s", error)

    async def _start(self, link: Link, queue: ReceiveQueue) -> None:
        async with self._lock(queue):
            delay_s: float | None = 0.0
            while delay_s is not None and not (queue.is_ended or queue.is_paused or link.lost.done()):
                await asyncio.sleep(delay_s)
                delay_s = await self._try_start(link, queue)

    async def _try_start(self, link: Link, queue: ReceiveQueue) -> "float | None":
        """Subscribes; returns the delay before the next attempt, None if there is to be none."""
        try:
            queue.bind(link.tenant_id)
            await link.subscribe(queue)
        except ConnectionLost:
            # The next connection begins it again; one that did not answer in time may be there still.
            return None if link.lost.done() else RETRY_S
        except HistoryUnavailable as error:
            if queue.may_go_live:
                queue.go_live()
                return 0.0
            self._fail(queue, error)
        except ServerError as error:
            if error.status in PASSING:
                log.info("subscribing is tried again: %s", error, extra={"subject": queue.target.text})
                return error.retry_after_s or RETRY_S
            self._fail(queue, error)
        return None

    def _fail(self, queue: ReceiveQueue, error: ArtcafeError) -> None:
        self._queues.pop(queue, None)
        queue.fail(error)

    def _lock(self, queue: ReceiveQueue) -> asyncio.Lock:
        return self._locks.setdefault(queue, asyncio.Lock())
