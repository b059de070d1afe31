"""What gateways tell: sockets that come and go, heartbeats, and that they live."""

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
from artcafe_presence.records import Act, Opened, Report, milliseconds
from artcafe_presence.reports import limited_json, limited_status
from artcafe_presence.store import Store

log = structlog.get_logger()


class Gateways:
    """Applies the events and signals of gateways."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Events are applied at once: who came and went within a moment must have come first.
        self._opening: dict[str, asyncio.Event] = {}

    def events(self) -> dict[type[Event], Callable[[Any], Awaitable[None]]]:
        """What is applied until it succeeded."""
        return {ConnectionOpened: self.opened, ConnectionClosed: self.closed}

    async def opened(self, event: ConnectionOpened) -> None:
        """A socket was admitted."""
        connection = Opened(
            id=event.connection_id,
            tenant=event.tenant_id,
            client=event.client_id,
            account=event.account,
            transport=Transport.WEBSOCKET,
            server=event.server_id,
            holder=event.instance,
            connected_at=milliseconds(event.occurred_at),
            ip=event.ip,
            kind=event.kind,
        )
        done = self._opening[event.connection_id] = asyncio.Event()
        try:
            await self._store.open([connection])
        finally:
            self._opening.pop(event.connection_id, None)
            done.set()

    async def closed(self, event: ConnectionClosed) -> None:
        """A socket is gone."""
        if opening := self._opening.get(event.connection_id):
            await opening.wait()
        await self._store.close(event.connection_id, event.reason or "closed")

    async def beats(self, signal: HeartbeatsReceived) -> None:
        """A second's heartbeats of one gateway, in one call; lost while Redis does not answer."""
        try:
            await self._store.touch(
                [
                    Report(
                        act=Act.BEAT,
                        tenant_id=beat.tenant_id,
                        client_id=beat.client_id,
                        connection_id=beat.connection_id,
                        status=limited_status(beat.status),
                        metrics=limited_json(beat.metrics),
                        metadata=limited_json(beat.metadata),
                    )
                    for beat in signal.heartbeats
                ]
            )
        except CommandError as error:
            log.warning("heartbeats_lost", reason=error.detail, count=len(signal.heartbeats))

    async def alive(self, signal: GatewayAlive) -> None:
        """A gateway process lives."""
        try:
            await self._store.gateway_alive(signal.instance, signal.timeout_s)
        except CommandError as error:
            log.warning("gateway_signal_lost", reason=error.detail, server=signal.server_id)
