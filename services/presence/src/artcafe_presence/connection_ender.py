"""Ends connections: WebSockets through their gateways, direct NATS connections through the broker."""

import asyncio
import time
from collections.abc import Iterable

from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import kick
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.concurrency import run_all
from artcafe_common.contracts.gateway import CloseConnections, CloseReason
from artcafe_common.contracts.presence import ConnectionNotFound, Transport
from artcafe_presence.records import StoredConnection, parse_nats_connection_id
from artcafe_presence.store import Store

MAX_CONCURRENT_KICKS = 50
END_TIMEOUT_S = 1.5
REPEAT_AFTER_S = 0.5
POLL_INTERVAL_S = 0.05


class ConnectionEnder:
    """Ends connections of a tenant. Ending one that has ended does nothing."""

    def __init__(self, *, bus: Bus, system: Nats, store: Store) -> None:
        self._bus = bus
        self._system = system
        self._store = store
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_KICKS)

    async def request_end(
        self, tenant_id: str, connections: Iterable[tuple[str, Transport]], reason: CloseReason
    ) -> None:
        """Ask the servers of connections to end them."""
        connections = list(connections)
        sockets = [id_ for id_, transport in connections if transport is Transport.WEBSOCKET]
        if sockets:
            await self._bus.notify(
                CloseConnections(tenant_id=tenant_id, connection_ids=sockets, reason=reason)
            )
        await run_all(self._kick(id_) for id_, transport in connections if transport is Transport.NATS)

    async def end(self, tenant_id: str, connection_id: str) -> StoredConnection:
        """End one connection for an admin, and wait until it has ended.

        Raises ConnectionNotFound, and ServiceUnavailable if its server does not end it in time.
        """
        found = (await self._store.find_connections(tenant_id, [connection_id])).get(connection_id)
        if found is None:
            raise ConnectionNotFound
        deadline, repeat_at = time.monotonic() + END_TIMEOUT_S, 0.0
        while time.monotonic() < deadline:
            if time.monotonic() >= repeat_at:
                # The signal to the gateways is not stored, and may be lost.
                repeat_at = time.monotonic() + REPEAT_AFTER_S
                await self.request_end(
                    tenant_id, [(connection_id, found.transport)], CloseReason.CONNECTION_ENDED
                )
            await asyncio.sleep(POLL_INTERVAL_S)
            if not await self._store.find_connections(tenant_id, [connection_id]):
                return found
        raise ServiceUnavailable("the server of the connection does not answer")

    async def _kick(self, connection_id: str) -> None:
        async with self._slots:
            await kick(self._system, *parse_nats_connection_id(connection_id))
