"""Events and signals of gateways: opened and closed sockets, heartbeats, and the gateways' own liveness."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import (
    ConnectionClosed,
    ConnectionOpened,
    GatewayAlive,
    HeartbeatsReceived,
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
            ConnectionOpened: self.on_connection_opened,
            ConnectionClosed: self.on_connection_closed,
        }

    async def on_connection_opened(self, event: ConnectionOpened) -> None:
        """A gateway accepted a socket."""
        connection = OpenConnection(
            id=event.connection_id,
            tenant=event.tenant_id,
            client=event.client_id,
            account=event.account,
            transport=Transport.WEBSOCKET,
            server=event.server_id,
            holder=event.instance,
            connected_at=to_ms(event.occurred_at),
            ip=event.ip,
            kind=event.kind,
        )
        opened = self._opening[event.connection_id] = asyncio.Event()
        try:
            await self._store.open_connections([connection])
        finally:
            self._opening.pop(event.connection_id, None)
            opened.set()

    async def on_connection_closed(self, event: ConnectionClosed) -> None:
        """A socket closed."""
        if opening := self._opening.get(event.connection_id):
            await opening.wait()
        await self._store.close_connections(
            [
                ClosedConnection(
                    id=event.connection_id, tenant=event.tenant_id, reason=event.reason or "closed"
                )
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
