"""The presence service's command handlers."""

from typing import Any

import msgspec

from artcafe_common import authorization
from artcafe_common.activity_reporting import build_activity_event
from artcafe_common.bus.caller import current_caller, current_tenant
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.presence import (
    MAX_ANNOUNCED,
    ClientPresence,
    ClientPresences,
    Connection,
    ConnectionCount,
    ConnectionPage,
    ConnectionReservation,
    CountConnections,
    EndConnection,
    GetPresences,
    InspectConnections,
    InspectedConnections,
    ListConnections,
    ListOnlineClients,
    LiveConnection,
    OnlineClient,
    OnlineClients,
    ReserveConnection,
    Transport,
)
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.members import Role
from artcafe_presence.connection_ender import ConnectionEnder
from artcafe_presence.connection_inspector import ConnectionInspector
from artcafe_presence.health import assess_health
from artcafe_presence.records import ClientState, StoredConnection, from_ms
from artcafe_presence.store import Store

MAX_CLIENTS = 200
MAX_INSPECTED = 50
# Reading more would hold up Redis for longer than asking for the clients of a page.
MAX_ONLINE_CONNECTIONS = 200


class Endpoints:
    """One handler for each command of the contract."""

    def __init__(
        self,
        store: Store,
        ender: ConnectionEnder,
        inspector: ConnectionInspector,
        bus: Bus,
        *,
        heartbeat_interval_s: float,
    ) -> None:
        self._store = store
        self._ender = ender
        self._inspector = inspector
        self._bus = bus
        self._interval_s = heartbeat_interval_s

    @handles(GetPresences)
    async def get_presences(self, request: GetPresences) -> ClientPresences:
        tenant_id = current_tenant()
        most = MAX_ANNOUNCED if request.announced else MAX_CLIENTS
        if len(request.client_ids) > most:
            message = f"at most {most} clients"
            raise InvalidRequest(message, errors=(FieldError(field="client_ids", message=message),))
        if not request.client_ids:
            return ClientPresences(clients=[])
        snapshot = await self._store.read_clients(tenant_id, request.client_ids, announced=request.announced)
        return ClientPresences(
            clients=[self._to_presence(client, snapshot.now) for client in snapshot.clients]
        )

    @handles(ListOnlineClients)
    async def list_online_clients(self, request: ListOnlineClients) -> OnlineClients:  # noqa: ARG002 - it has no fields
        snapshot = await self._store.list_online(current_tenant(), MAX_ONLINE_CONNECTIONS)
        return OnlineClients(
            complete=snapshot.complete,
            clients=[
                OnlineClient(client_id=each.client_id, last_seen=from_ms(each.last_seen))
                for each in snapshot.clients
            ],
        )

    @handles(CountConnections)
    async def count_connections(self, request: CountConnections) -> ConnectionCount:  # noqa: ARG002 - it has no fields
        tenant_id = current_tenant()
        counts = await self._store.count_connections_of([tenant_id])
        return ConnectionCount(connections=counts[tenant_id])

    @handles(ListConnections)
    async def list_connections(self, request: ListConnections) -> ConnectionPage:
        found, next_after = await self._store.list_connection_page(
            current_tenant(), request.client_id, request.after, request.limit
        )
        return ConnectionPage(
            connections=[_to_live_connection(*each) for each in found.items()], next_after=next_after
        )

    @handles(InspectConnections)
    async def inspect_connections(self, request: InspectConnections) -> InspectedConnections:
        tenant_id = current_tenant()
        found, next_after = await self._store.list_connection_page(
            tenant_id, request.client_id, None, MAX_INSPECTED
        )
        direct = [id_ for id_, each in found.items() if each.transport is Transport.NATS]
        return InspectedConnections(
            connections=[_to_live_connection(*each) for each in found.items()],
            direct=list((await self._inspector.inspect(tenant_id, direct)).values()),
            complete=next_after is None,
        )

    @handles(EndConnection)
    async def end_connection(self, request: EndConnection) -> LiveConnection:
        tenant_id = authorization.require_role(Role.ADMIN)
        stored = await self._ender.end(tenant_id, request.connection_id)
        event = build_activity_event(
            current_caller(),
            ActivityType.CONNECTION,
            "connection.ended",
            f"connection:{request.connection_id}",
            tenant_id=tenant_id,
            metadata={"client_id": stored.client, "transport": stored.transport.value},
        )
        await self._bus.publish(event)
        return _to_live_connection(request.connection_id, stored)

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
            traffic=_decode_json(client.traffic),
            metadata=_decode_json(client.metadata),
            capabilities=None
            if client.capabilities is None
            else msgspec.json.decode(client.capabilities, type=list[Any]),
        )


def _to_live_connection(connection_id: str, stored: StoredConnection) -> LiveConnection:
    return LiveConnection(
        connection_id=connection_id,
        client_id=stored.client or None,
        kind=stored.kind if stored.client else None,
        transport=stored.transport,
        server=stored.server,
        connected_at=from_ms(stored.connected_at),
        last_seen=from_ms(stored.last_seen),
        ip=stored.ip,
    )


def _decode_json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
