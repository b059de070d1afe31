"""Reports to presence: opened and closed connections and heartbeats in batches, other events in order."""

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Any

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id
from artcafe_common.contracts.presence import (
    ClosedSocket,
    ConnectionsChanged,
    GatewayAlive,
    Heartbeat,
    HeartbeatsReceived,
    OpenedSocket,
)

ALIVE_INTERVAL_S = 2.0
MAX_HEARTBEATS_PER_SIGNAL = 2_000
MAX_QUEUED_EVENTS = 100_000
# The first change is published at once, and those of the next interval together. An event must fit into one message.
BATCH_INTERVAL_S = 0.05
MAX_CHANGES_PER_EVENT = 500
DRAIN_TIMEOUT_S = 3.0
FIRST_RETRY_DELAY_S = 0.05
MAX_RETRY_DELAY_S = 2.0
log = structlog.get_logger()

_Change = OpenedSocket | ClosedSocket


class PresenceReporter:
    """Queues events while the broker is unreachable, and merges connections that change together, and heartbeats."""

    def __init__(self, *, bus: Bus, server_id: str) -> None:
        self._bus = bus
        self._server_id = server_id
        self.instance = new_id()
        self._heartbeats: dict[str, Heartbeat] = {}
        self._queue: deque[Event | _Change] = deque()
        self._added = asyncio.Event()
        self._alive_at = float("-inf")
        self.heartbeat_count = self.dropped_count = 0

    @property
    def queued_count(self) -> int:
        """How many events and changed connections wait to be published."""
        return len(self._queue)

    def enqueue(self, event: Event | OpenedSocket | ClosedSocket) -> None:
        """Queues an event for the EVENTS stream, or a connection that is announced together with others."""
        if len(self._queue) >= MAX_QUEUED_EVENTS:
            self.dropped_count += 1
            log.error("presence_event_dropped", event_type=type(event).__name__)
            return
        self._queue.append(event)
        self._added.set()

    def record_heartbeat(
        self,
        connection_id: str,
        tenant_id: str,
        client_id: str,
        *,
        status: str | None = None,
        metrics: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        capabilities: list[Any] | None = None,
    ) -> None:
        """Records a heartbeat; fields that are None keep the value of an earlier one in the batch."""
        self.heartbeat_count += 1
        earlier = self._heartbeats.get(connection_id)
        self._heartbeats[connection_id] = Heartbeat(
            connection_id=connection_id,
            tenant_id=tenant_id,
            client_id=client_id,
            status=status if status is not None else (earlier.status if earlier else None),
            metrics=metrics if metrics is not None else (earlier.metrics if earlier else None),
            metadata=metadata if metadata is not None else (earlier.metadata if earlier else None),
            capabilities=capabilities
            if capabilities is not None
            else (earlier.capabilities if earlier else None),
        )

    async def run(self) -> None:
        """Publishes what is queued until cancelled."""
        next_at = time.monotonic()
        while True:
            await self._added.wait()
            await asyncio.sleep(next_at - time.monotonic())
            next_at = time.monotonic() + BATCH_INTERVAL_S
            self._added.clear()
            await self._publish_queued()

    async def _publish_queued(self) -> None:
        """Publishes what is queued now; later entries are published with the next interval."""
        left = len(self._queue)
        while left > 0:
            event, count = self._next_event()
            await self._publish(event)
            # Removed when they are stored: a shutdown publishes what was interrupted again.
            for _ in range(count):
                self._queue.popleft()
            left -= count

    def _next_event(self) -> tuple[Event, int]:
        """The first event, or one of the connections at the head of the queue; and how many entries it is."""
        first = self._queue[0]
        if isinstance(first, Event):
            return first, 1
        changes: list[_Change] = []
        for each in islice(self._queue, MAX_CHANGES_PER_EVENT):
            if isinstance(each, Event):
                break
            changes.append(each)
        event = ConnectionsChanged(
            server_id=self._server_id,
            instance=self.instance,
            opened=[each for each in changes if isinstance(each, OpenedSocket)],
            closed=[each for each in changes if isinstance(each, ClosedSocket)],
        )
        return event, len(changes)

    async def _publish(self, event: Event) -> None:
        delay = FIRST_RETRY_DELAY_S
        while True:
            try:
                await self._bus.publish(event)
            except CommandError:
                await asyncio.sleep(delay)
                delay = min(delay * 2, MAX_RETRY_DELAY_S)
            else:
                return

    async def send_heartbeats(self) -> None:
        """Publishes the batch of heartbeats, and every 2 s that this process is alive."""
        heartbeats, self._heartbeats = list(self._heartbeats.values()), {}
        for start in range(0, len(heartbeats), MAX_HEARTBEATS_PER_SIGNAL):
            await self._bus.notify(
                HeartbeatsReceived(
                    server_id=self._server_id,
                    heartbeats=heartbeats[start : start + MAX_HEARTBEATS_PER_SIGNAL],
                )
            )
        if time.monotonic() - self._alive_at >= ALIVE_INTERVAL_S:
            self._alive_at = time.monotonic()
            await self._bus.notify(GatewayAlive(server_id=self._server_id, instance=self.instance))

    async def drain(self) -> None:
        """Publishes what is still queued, for at most 3 s."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while self._queue:
                    await self._publish_queued()
        except TimeoutError:
            log.warning("presence_events_lost", count=len(self._queue))
