"""Reports to presence: connection events in order, and heartbeats in batches."""

import asyncio
import time
from typing import Any

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id
from artcafe_common.contracts.presence import GatewayAlive, Heartbeat, HeartbeatsReceived

ALIVE_INTERVAL_S = 2.0
MAX_HEARTBEATS_PER_SIGNAL = 2_000
MAX_QUEUED_EVENTS = 100_000
DRAIN_TIMEOUT_S = 3.0
FIRST_RETRY_DELAY_S = 0.05
MAX_RETRY_DELAY_S = 2.0
log = structlog.get_logger()


class PresenceReporter:
    """Queues events while the broker is unreachable, and merges the heartbeats of each second."""

    def __init__(self, *, bus: Bus, server_id: str) -> None:
        self._bus = bus
        self._server_id = server_id
        self.instance = new_id()
        self._heartbeats: dict[str, Heartbeat] = {}
        self._events: asyncio.Queue[Event] = asyncio.Queue(MAX_QUEUED_EVENTS)
        self._alive_at = float("-inf")
        self.heartbeat_count = self.dropped_count = 0

    @property
    def queued_count(self) -> int:
        """How many events wait to be published."""
        return self._events.qsize()

    def enqueue(self, event: Event) -> None:
        """Queues an event for the EVENTS stream."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped_count += 1
            log.error("presence_event_dropped", subject=type(event).subject)

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
        """Publishes queued events until cancelled."""
        while True:
            event = await self._events.get()
            try:
                await self._publish(event)
            except asyncio.CancelledError:
                self._events.put_nowait(event)
                raise

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
        """Publishes the remaining events, for at most 3 s."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not self._events.empty():
                    await self._publish(self._events.get_nowait())
        except TimeoutError:
            log.warning("presence_events_lost", count=self._events.qsize())
