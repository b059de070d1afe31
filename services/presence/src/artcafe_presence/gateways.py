"""Events and signals of gateways: opened and closed sockets, heartbeats, and the gateways' own liveness."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import (
    ClosedSocket,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionsChanged,
    GatewayAlive,
    HeartbeatsReceived,
    OpenedSocket,
    Transport,
)
from artcafe_presence.records import ClosedConnection, ConnectionReport, OpenConnection, ReportType, to_ms
from artcafe_presence.reports import MAX_CAPABILITIES_BYTES, encode_json, known_status
from artcafe_presence.store import Store

log = structlog.get_logger()


class GatewayEventHandler:
    """Applies the events and signals of gateways to the live state."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Events are applied concurrently; a close waits for the open of the same connection.
        self._opening: dict[str, asyncio.Event] = {}
        # Heartbeats.
        self.received = self.dropped = 0

    def handlers(self) -> dict[type[Event], Callable[[Any], Awaitable[None]]]:
        """The handlers of events that are redelivered until they succeed."""
        return {
            ConnectionsChanged: self.on_connections_changed,
            ConnectionOpened: self.on_connection_opened,
            ConnectionClosed: self.on_connection_closed,
        }

    async def on_connections_changed(self, event: ConnectionsChanged) -> None:
        """Sockets were accepted or closed."""
        if event.opened:
            await self._open(event.opened, event.server_id, event.instance)
        if event.closed:
            await self._close(event.closed)

    async def on_connection_opened(self, event: ConnectionOpened) -> None:
        """A gateway of an earlier release accepted a socket."""
        opened = OpenedSocket(
            connection_id=event.connection_id,
            tenant_id=event.tenant_id,
            client_id=event.client_id,
            account=event.account,
            opened_at=event.occurred_at,
            ip=event.ip,
            kind=event.kind,
        )
        await self._open([opened], event.server_id, event.instance)

    async def on_connection_closed(self, event: ConnectionClosed) -> None:
        """A gateway of an earlier release closed a socket."""
        closed = ClosedSocket(
            connection_id=event.connection_id, tenant_id=event.tenant_id, reason=event.reason
        )
        await self._close([closed])

    async def _open(self, opened: list[OpenedSocket], server: str, instance: str) -> None:
        connections = [
            OpenConnection(
                id=each.connection_id,
                tenant=each.tenant_id,
                client=each.client_id,
                account=each.account,
                transport=Transport.WEBSOCKET,
                server=server,
                holder=instance,
                connected_at=to_ms(each.opened_at),
                ip=each.ip,
                kind=each.kind,
            )
            for each in opened
        ]
        done = asyncio.Event()
        self._opening |= dict.fromkeys((each.id for each in connections), done)
        try:
            await self._store.open_connections(connections)
        finally:
            for each in connections:
                self._opening.pop(each.id, None)
            done.set()

    async def _close(self, closed: list[ClosedSocket]) -> None:
        for opening in {done for each in closed if (done := self._opening.get(each.connection_id))}:
            await opening.wait()
        await self._store.close_connections(
            [
                ClosedConnection(id=each.connection_id, tenant=each.tenant_id, reason=each.reason or "closed")
                for each in closed
            ]
        )

    async def on_heartbeats(self, signal: HeartbeatsReceived) -> None:
        """Apply a gateway's heartbeats of one second in one call; they are dropped if Redis does not answer."""
        self.received += len(signal.heartbeats)
        try:
            await self._store.apply_reports(
                [
                    ConnectionReport(
                        type=ReportType.HEARTBEAT,
                        tenant_id=heartbeat.tenant_id,
                        client_id=heartbeat.client_id,
                        connection_id=heartbeat.connection_id,
                        status=known_status(heartbeat.status),
                        metrics=encode_json(heartbeat.metrics),
                        metadata=encode_json(heartbeat.metadata),
                        capabilities=encode_json(heartbeat.capabilities, MAX_CAPABILITIES_BYTES),
                    )
                    for heartbeat in signal.heartbeats
                ]
            )
        except CommandError as error:
            self.dropped += len(signal.heartbeats)
            log.warning("heartbeats_dropped", reason=error.detail, count=len(signal.heartbeats))

    async def on_gateway_alive(self, signal: GatewayAlive) -> None:
        """Extend the deadline of a gateway process."""
        try:
            await self._store.extend_gateway_deadline(signal.instance, signal.timeout_s)
        except CommandError as error:
            log.warning("gateway_signal_dropped", reason=error.detail, server=signal.server_id)
