"""What presence hears from this gateway: sockets that open and close, and heartbeats in batches."""

import asyncio
import time
from typing import Any

import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import new_id
from artcafe_common.contracts.presence import GatewayAlive, Heartbeat, HeartbeatsReceived

ALIVE_EVERY_S = 2.0
HEARTBEATS_PER_SIGNAL = 2_000
MAX_QUEUED = 100_000
FINISH_S = 3.0
log = structlog.get_logger()


class PresenceReporter:
    """Announces events in order, none forgotten while the broker is away; heartbeats leave every second."""

    def __init__(self, *, bus: Bus, server_id: str) -> None:
        self._bus = bus
        self._server_id = server_id
        self.instance = new_id()
        self._heartbeats: dict[str, Heartbeat] = {}
        self._events: asyncio.Queue[Event] = asyncio.Queue(MAX_QUEUED)
        self._alive_at = float("-inf")

    def enqueue(self, event: Event) -> None:
        """Queue an event for the stream."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
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
    ) -> None:
        """Note a heartbeat; what it does not tell is kept from one before it in this second."""
        known = self._heartbeats.get(connection_id)
        self._heartbeats[connection_id] = Heartbeat(
            connection_id=connection_id,
            tenant_id=tenant_id,
            client_id=client_id,
            status=status if status is not None else (known.status if known else None),
            metrics=metrics if metrics is not None else (known.metrics if known else None),
            metadata=metadata if metadata is not None else (known.metadata if known else None),
        )

    async def run(self) -> None:
        """Announce queued events until cancelled."""
        while True:
            event = await self._events.get()
            try:
                await self._publish(event)
            except asyncio.CancelledError:
                self._events.put_nowait(event)
                raise

    async def _publish(self, event: Event) -> None:
        pause = 0.05
        while True:
            try:
                await self._bus.publish(event)
            except CommandError:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return

    async def send_heartbeats(self) -> None:
        """Send the heartbeats, and every 2 s that this process lives."""
        heartbeats, self._heartbeats = list(self._heartbeats.values()), {}
        for start in range(0, len(heartbeats), HEARTBEATS_PER_SIGNAL):
            await self._bus.notify(
                HeartbeatsReceived(
                    server_id=self._server_id,
                    heartbeats=heartbeats[start : start + HEARTBEATS_PER_SIGNAL],
                )
            )
        if time.monotonic() - self._alive_at >= ALIVE_EVERY_S:
            self._alive_at = time.monotonic()
            await self._bus.notify(GatewayAlive(server_id=self._server_id, instance=self.instance))

    async def drain(self) -> None:
        """Announce what is still queued: the process ends."""
        try:
            async with asyncio.timeout(FINISH_S):
                while not self._events.empty():
                    await self._publish(self._events.get_nowait())
        except TimeoutError:
            log.warning("presence_events_left", count=self._events.qsize())
