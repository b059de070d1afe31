"""The presence service's command handlers."""

from typing import Any

import msgspec

from artcafe_common.bus.caller import current_tenant
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.presence import (
    ClientPresence,
    ClientPresences,
    Connection,
    ConnectionCount,
    ConnectionReservation,
    CountConnections,
    GetPresences,
    ReserveConnection,
)
from artcafe_presence.health import assess_health
from artcafe_presence.records import ClientState, from_ms
from artcafe_presence.store import Store

MAX_CLIENTS = 200


class Endpoints:
    """One handler for each command of the contract."""

    def __init__(self, store: Store, *, heartbeat_interval_s: float) -> None:
        self._store = store
        self._interval_s = heartbeat_interval_s

    @handles(GetPresences)
    async def get_presences(self, request: GetPresences) -> ClientPresences:
        tenant_id = current_tenant()
        if len(request.client_ids) > MAX_CLIENTS:
            message = f"at most {MAX_CLIENTS} clients"
            raise InvalidRequest(message, errors=(FieldError(field="client_ids", message=message),))
        if not request.client_ids:
            return ClientPresences(clients=[])
        snapshot = await self._store.read_clients(tenant_id, request.client_ids)
        return ClientPresences(
            clients=[self._to_presence(client, snapshot.now) for client in snapshot.clients]
        )

    @handles(CountConnections)
    async def count_connections(self, request: CountConnections) -> ConnectionCount:  # noqa: ARG002 - has no fields
        return ConnectionCount(connections=await self._store.count_connections(current_tenant()))

    @handles(ReserveConnection)
    async def reserve_connection(self, request: ReserveConnection) -> ConnectionReservation:
        granted = await self._store.reserve_connection(current_tenant(), request.connection_id, request.limit)
        return ConnectionReservation(granted=granted)

    def _to_presence(self, client: ClientState, now: int) -> ClientPresence:
        heartbeat_at = client.last_heartbeat_at if client.sends_heartbeats else None
        return ClientPresence(
            client_id=client.client_id,
            online=client.online,
            health=assess_health(
                online=client.online,
                heartbeat_age_s=None if heartbeat_at is None else (now - heartbeat_at) / 1000,
                status=client.status,
                reason=client.reason,
                interval_s=self._interval_s,
            ),
            last_seen=None if client.last_seen is None else from_ms(client.last_seen),
            connections=[
                Connection(
                    connection_id=connection.connection_id,
                    transport=connection.transport,
                    server=connection.server,
                    connected_at=from_ms(connection.connected_at),
                    last_seen=from_ms(connection.last_seen),
                    ip=connection.ip,
                )
                for connection in client.connections
            ],
            metrics=_decode_json(client.metrics),
            metadata=_decode_json(client.metadata),
        )


def _decode_json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
