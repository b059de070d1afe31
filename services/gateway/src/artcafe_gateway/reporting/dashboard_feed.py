"""Sends new activity entries and changes of presence to dashboards, as the platform's own account tells them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import ClientKind, PresenceChanged, PresencesChanged
from artcafe_common.contracts.tenancy.activity import ActivitiesStored, ActivityRecorded
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.socket import Socket

# Changes of presence of one organization that wait for the lookup of a name.
MAX_WAITING = 10_000
PAUSE_AFTER_FAILURE_S = 1.0
log = structlog.get_logger()

# Returns the name of a tenant's client or agent, None if it does not exist; CommandError.
FindName = Callable[[str, ClientKind, str], Awaitable[str | None]]


class DashboardFeed:
    """The open dashboards by organization; no client can publish what they receive from here."""

    def __init__(self, find_name: FindName) -> None:
        self._find_name = find_name
        self._dashboards: dict[str, dict[Socket, None]] = {}
        self._waiting: dict[str, asyncio.Queue[PresenceChanged]] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}
        self._paused_until = 0.0

    def add_dashboard(self, tenant_id: str, socket: Socket) -> None:
        """Sends further entries and changes to a dashboard."""
        self._dashboards.setdefault(tenant_id, {})[socket] = None
        if tenant_id not in self._senders:
            self._waiting[tenant_id] = asyncio.Queue(MAX_WAITING)
            self._senders[tenant_id] = asyncio.create_task(self._send_presence(tenant_id))

    def remove_dashboard(self, tenant_id: str, socket: Socket) -> None:
        """Stops sending to a dashboard. Idempotent."""
        sockets = self._dashboards.get(tenant_id, {})
        sockets.pop(socket, None)
        if not sockets:
            self._dashboards.pop(tenant_id, None)
            self._waiting.pop(tenant_id, None)
            if sender := self._senders.pop(tenant_id, None):
                sender.cancel()

    async def on_activity(self, event: ActivityRecorded) -> None:
        """Sends an entry that has been stored."""
        if event.stored:
            self._send(event.tenant_id, frames.ActivityEntry(activity=event.activity))

    async def on_activities(self, event: ActivitiesStored) -> None:
        """Sends entries that have been stored together."""
        for entry in event.entries:
            if entry.tenant_id in self._dashboards:
                self._send(entry.tenant_id, frames.ActivityEntry(activity=entry.activity))

    async def on_presences(self, event: PresencesChanged) -> None:
        """Sends that clients went online or offline, after those of their organization that came before."""
        for change in event.changes:
            await self.on_presence(change)

    async def on_presence(self, event: PresenceChanged) -> None:
        """Sends that a client went online or offline."""
        waiting = self._waiting.get(event.tenant_id)
        if waiting is None:
            return
        if waiting.full():
            waiting.get_nowait()
            log.warning("presence_frame_dropped", tenant_id=event.tenant_id)
        waiting.put_nowait(event)

    async def _send_presence(self, tenant_id: str) -> None:
        waiting = self._waiting[tenant_id]
        while True:
            event = await waiting.get()
            name = await self._name_of(event)
            frame = frames.PresenceChange(
                client_id=event.client_id,
                name=name,
                status="online" if event.online else "offline",
                health=event.health,
                last_seen=event.last_seen,
            )
            self._send(tenant_id, frame)

    async def _name_of(self, event: PresenceChanged) -> str | None:
        if time.monotonic() < self._paused_until:
            return None
        try:
            return await self._find_name(event.tenant_id, event.kind, event.client_id)
        except CommandError:
            # Presence is shown without names while tenancy does not answer.
            self._paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
            return None

    def _send(self, tenant_id: str, frame: frames.ServerFrame) -> None:
        for socket in self._dashboards.get(tenant_id, ()):
            socket.send(frame)
