"""presence: who is there. The connection table, heartbeats, online and offline."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from artcafe_common.bus.command import Command, Event, Query, Signal


class Transport(StrEnum):
    """How a connection reaches us."""

    WEBSOCKET = "websocket"
    NATS = "nats"


class ClientKind(StrEnum):
    """Whose a connection is."""

    CLIENT = "client"
    AGENT = "agent"


class ClientHealth(StrEnum):
    """healthy: heartbeats in time; degraded: says so itself, or one is overdue; unhealthy: says so
    itself, or offline by timeout; unknown: connected, but never sent a heartbeat.
    """

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection; `server` is the gateway or nats-server that holds it."""

    connection_id: str
    transport: Transport
    server: str
    connected_at: datetime
    last_seen: datetime
    ip: str = ""


class ClientPresence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a client is there; `last_seen` is None for one that never was."""

    client_id: str
    online: bool
    health: ClientHealth
    last_seen: datetime | None
    connections: list[Connection] = []
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class ClientPresences(msgspec.Struct, frozen=True, kw_only=True):
    """One entry for each client asked for, in that order."""

    clients: list[ClientPresence]


class ConnectionCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many live connections a tenant has, of every transport."""

    connections: int


class ConnectionReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there was a place."""

    granted: bool


class GetPresences(Query[ClientPresences], frozen=True, kw_only=True):
    """The presence of up to 200 clients of the caller's tenant, in one round trip to the store.

    Connections, metrics and metadata are filled only when one client is asked for.
    """

    subject = "artcafe.presence.client.get"
    deadline_s = 2.0
    client_ids: list[str]


class CountConnections(Query[ConnectionCount], frozen=True, kw_only=True):
    """How many live connections the caller's tenant has."""

    subject = "artcafe.presence.connection.count"
    deadline_s = 2.0


class ReserveConnection(Command[ConnectionReservation], frozen=True, kw_only=True):
    """A place for a WebSocket of the caller's tenant, which may have `limit` live connections in all.

    It is held until the connection is opened, at most for half a minute.
    """

    subject = "artcafe.presence.connection.reserve"
    idempotent = True
    deadline_s = 2.0
    connection_id: str
    limit: int


class ConnectionOpened(Event, frozen=True, kw_only=True):
    """A client's WebSocket was admitted by a gateway.

    `account` is the public key of its tenant's NATS account; `instance` names the run of the
    gateway process, so that a restarted one disowns the sockets of its former life.
    """

    subject = "artcafe.events.connection.opened"
    publishers = ("gateway",)
    consumers = ("presence",)
    connection_id: str
    tenant_id: str
    client_id: str
    account: str
    server_id: str
    instance: str
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT
    user_agent: str = ""


class ConnectionClosed(Event, frozen=True, kw_only=True):
    """A client's WebSocket is gone."""

    subject = "artcafe.events.connection.closed"
    publishers = ("gateway",)
    consumers = ("presence",)
    connection_id: str
    tenant_id: str
    client_id: str
    account: str
    reason: str = ""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One heartbeat of a WebSocket; `status` is the client's own word on its health."""

    connection_id: str
    tenant_id: str
    client_id: str
    status: str | None = None
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class HeartbeatsReceived(Signal, frozen=True, kw_only=True):
    """The heartbeats that a gateway took in since the last signal (at most a second ago)."""

    subject = "artcafe.presence.heartbeats"
    publishers = ("gateway",)
    server_id: str
    heartbeats: list[Heartbeat]


class GatewayAlive(Signal, frozen=True, kw_only=True):
    """A gateway process says every 2 s that it lives; silence for `timeout_s` ends its connections."""

    subject = "artcafe.presence.gateway_alive"
    publishers = ("gateway",)
    server_id: str
    instance: str
    timeout_s: int = 10


class PresenceChanged(Event, frozen=True, kw_only=True):
    """A client went online or offline; `account` is its tenant's NATS account, `ip` the connection's."""

    subject = "artcafe.events.presence.changed"
    publishers = ("presence",)
    consumers = ("tenancy",)
    tenant_id: str
    client_id: str
    account: str
    online: bool
    last_seen: datetime
    reason: str = ""
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class PresenceUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What the tenant itself hears on `tenant.{tenant_id}.presence.{client_id}`."""

    client_id: str
    status: str
    last_seen: datetime
