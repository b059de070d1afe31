"""Contract of presence: the connection table, heartbeats, online and offline."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from artcafe_common.bus.command import Command, Event, Query, Signal


class Transport(StrEnum):
    """The transport of a connection."""

    WEBSOCKET = "websocket"
    NATS = "nats"


class ClientKind(StrEnum):
    """The kind of program: a client (NKey) or an agent (SSH key)."""

    CLIENT = "client"
    AGENT = "agent"


class ClientHealth(StrEnum):
    """The health of a client.

    healthy: its heartbeats arrive in time. degraded: it reports so, or a heartbeat is overdue. unhealthy: it reports
    so, or went offline by timeout. unknown: it is connected but never sent a heartbeat.
    """

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection; `server` is the gateway or nats-server that it is connected to."""

    connection_id: str
    transport: Transport
    server: str
    connected_at: datetime
    last_seen: datetime
    ip: str = ""


class ClientPresence(msgspec.Struct, frozen=True, kw_only=True):
    """The presence of a client; `last_seen` is null if it was never online."""

    client_id: str
    online: bool
    health: ClientHealth
    last_seen: datetime | None
    connections: list[Connection] = []
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class ClientPresences(msgspec.Struct, frozen=True, kw_only=True):
    """The presence of each requested client, in the order of the request."""

    clients: list[ClientPresence]


class ConnectionCount(msgspec.Struct, frozen=True, kw_only=True):
    """The number of live connections of a tenant, over every transport."""

    connections: int


class ConnectionReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the connection is within the limit."""

    granted: bool


class GetPresences(Query[ClientPresences], frozen=True, kw_only=True):
    """Get the presence of up to 200 clients of the caller's tenant.

    Connections, metrics and metadata are included only in a request for one client.
    """

    subject = "artcafe.presence.client.get"
    deadline_s = 2.0
    client_ids: list[str]


class CountConnections(Query[ConnectionCount], frozen=True, kw_only=True):
    """Count the live connections of the caller's tenant."""

    subject = "artcafe.presence.connection.count"
    deadline_s = 2.0


class ReserveConnection(Command[ConnectionReservation], frozen=True, kw_only=True):
    """Reserve one of the `limit` connections of the caller's tenant for a WebSocket.

    The reservation ends when the connection opens, or after 30 s.
    """

    subject = "artcafe.presence.connection.reserve"
    idempotent = True
    deadline_s = 2.0
    connection_id: str
    limit: int


class ConnectionOpened(Event, frozen=True, kw_only=True):
    """A gateway accepted a client's WebSocket.

    `account` is the public key of the tenant's NATS account. `instance` is the run of the gateway process: after a
    restart, the connections of its earlier runs are removed.
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
    """A client's WebSocket was closed."""

    subject = "artcafe.events.connection.closed"
    publishers = ("gateway",)
    consumers = ("presence",)
    connection_id: str
    tenant_id: str
    client_id: str
    account: str
    reason: str = ""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A heartbeat over a WebSocket; `status` is the health that the client reports."""

    connection_id: str
    tenant_id: str
    client_id: str
    status: str | None = None
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class HeartbeatsReceived(Signal, frozen=True, kw_only=True):
    """The heartbeats that a gateway received since its last signal, at most a second ago."""

    subject = "artcafe.presence.heartbeats"
    publishers = ("gateway",)
    server_id: str
    heartbeats: list[Heartbeat]


class GatewayAlive(Signal, frozen=True, kw_only=True):
    """A gateway process is alive. Published every 2 s; its connections are removed `timeout_s` after the last one."""

    subject = "artcafe.presence.gateway_alive"
    publishers = ("gateway",)
    server_id: str
    instance: str
    timeout_s: int = 10


class PresenceChanged(Event, frozen=True, kw_only=True):
    """A client went online or offline; `account` is its tenant's NATS account."""

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
    """The message that a tenant receives on `tenant.{tenant_id}.presence.{client_id}`."""

    client_id: str
    status: str
    last_seen: datetime
