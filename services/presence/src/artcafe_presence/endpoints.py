"""What the presence service answers."""

from datetime import datetime
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
from artcafe_presence.health import judge
from artcafe_presence.records import SeenClient, moment
from artcafe_presence.store import Store

MAX_CLIENTS = 200


class Endpoints:
    """One method for each command of the contract."""

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
        seen = await self._store.read(tenant_id, request.client_ids)
        return ClientPresences(clients=[self._presence(client, seen.now) for client in seen.clients])

    @handles(CountConnections)
    async def count_connections(self, request: CountConnections) -> ConnectionCount:  # noqa: ARG002 - has no field
        return ConnectionCount(connections=await self._store.count(current_tenant()))

    @handles(ReserveConnection)
    async def reserve_connection(self, request: ReserveConnection) -> ConnectionReservation:
        granted = await self._store.reserve(current_tenant(), request.connection_id, request.limit)
        return ConnectionReservation(granted=granted)

    def _presence(self, client: SeenClient, now: int) -> ClientPresence:
        beats = client.beating and client.beat_at is not None
        return ClientPresence(
            client_id=client.client_id,
            online=client.online,
            health=judge(
                online=client.online,
                since_beat_s=(now - (client.beat_at or now)) / 1000 if beats else None,
                status=client.status,
                reason=client.reason,
                interval_s=self._interval_s,
            ),
            last_seen=_moment(client.last_seen),
            connections=[
                Connection(
                    connection_id=each.connection_id,
                    transport=each.transport,
                    server=each.server,
                    connected_at=moment(each.connected_at),
                    last_seen=moment(each.last_seen),
                    ip=each.ip,
                )
                for each in client.connections
            ],
            metrics=_json(client.metrics),
            metadata=_json(client.metadata),
        )


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)


def _json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
