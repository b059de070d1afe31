"""Contract of presence: the connection table, heartbeats, online and offline."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from artcafe_common.bus.command import Command, Event, Query, Signal
from artcafe_common.bus.errors import CommandError


class ConnectionNotFound(CommandError):
    """The organization has no live connection with this id."""

    status = 404
    code = "connection_not_found"
    title = "The connection was not found"
    remedy = "Check the id with `GET /api/v1/connections`; the connection may have ended."


# So that a reply fits into one message of the bus: a client may announce 16 KiB of metadata and 4 KiB of capabilities.
MAX_ANNOUNCED = 40


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


class ReportedStatus(StrEnum):
    """What a client may report as its status; upper and lower case are equal.

    The words of health decide `ClientHealth`; the others are those of the published SDK and do not affect it.
    """

    ONLINE = "online"
    OFFLINE = "offline"
    IDLE = "idle"
    BUSY = "busy"
    AWAY = "away"
    READY = "ready"
    INITIALIZED = "initialized"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    OK = "ok"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    WARNING = "warning"
    UNHEALTHY = "unhealthy"
    ERROR = "error"
    CRITICAL = "critical"
    FAILING = "failing"
    UNKNOWN = "unknown"


def parse_status(text: str) -> ReportedStatus | None:
    """The status that a client reports; None for any other text."""
    try:
        return ReportedStatus(text.lower())
    except ValueError:
        return None


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection; `server` is the gateway or nats-server that it is connected to."""

    connection_id: str
    transport: Transport
    server: str
    connected_at: datetime
    last_seen: datetime
    ip: str = ""


class LiveConnection(Connection, frozen=True, kw_only=True):
    """A live connection of an organization, and whose it is.

    `client_id` is the client or agent, by `kind`; both are null for a user that the organization issued with a signing
    key of its own.
    """

    client_id: str | None
    kind: ClientKind | None


class ConnectionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some live connections in the order of their ids; `next_after` is null at the end of the list."""

    connections: list[LiveConnection]
    next_after: str | None


class ClientPresence(msgspec.Struct, frozen=True, kw_only=True):
    """The presence of a client; `last_seen` is null if it was never online.

    `metrics` are those of its last heartbeat that had some, `traffic` is the client's own report of its traffic;
    `metadata` and `capabilities` are what it announced last.
    """

    client_id: str
    online: bool
    health: ClientHealth
    last_seen: datetime | None
    connections: list[Connection] = []
    metrics: dict[str, Any] | None = None
    traffic: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    capabilities: list[Any] | None = None


class ClientPresences(msgspec.Struct, frozen=True, kw_only=True):
    """The presence of each requested client, in the order of the request."""

    clients: list[ClientPresence]


class ConnectionReservation(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the connection is within the limit."""

    granted: bool


class GetPresences(Query[ClientPresences], frozen=True, kw_only=True):
    """Get the presence of up to 200 clients of the caller's tenant.

    Connections, metrics, traffic, metadata and capabilities are included only in a request for one client; with
    `announced`, metadata and capabilities of up to `MAX_ANNOUNCED` clients.
    """

    subject = "artcafe.presence.client.get"
    deadline_s = 2.0
    client_ids: list[str]
    announced: bool = False


class OnlineClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is online."""

    client_id: str
    last_seen: datetime


class OnlineClients(msgspec.Struct, frozen=True, kw_only=True):
    """The clients of a tenant that are online; none if it has too many connections, and then not `complete`."""

    complete: bool
    clients: list[OnlineClient] = []


class ListOnlineClients(Query[OnlineClients], frozen=True, kw_only=True):
    """List the clients and agents of the caller's tenant that are online, if it has at most 200 live connections.

    It names no client, so it can be asked while a list of clients is still being read.
    """

    subject = "artcafe.presence.client.list_online"
    deadline_s = 2.0


class ConnectionCount(msgspec.Struct, frozen=True, kw_only=True):
    """The number of live connections, over every transport."""

    connections: int


class CountConnections(Query[ConnectionCount], frozen=True, kw_only=True):
    """Count the live connections of the caller's tenant, which its plan limits."""

    subject = "artcafe.presence.connection.count"
    deadline_s = 2.0


class ListConnections(Query[ConnectionPage], frozen=True, kw_only=True):
    """List live connections of the caller's tenant, of all clients or of one, after a connection id."""

    subject = "artcafe.presence.connection.list"
    deadline_s = 2.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    after: str | None = None
    client_id: str | None = None


class DirectConnectionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker knows of a direct NATS connection; `subscriptions` are some of `subscription_count`."""

    connection_id: str
    library: str = ""
    queued_bytes: int
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    subscription_count: int
    subscriptions: list[str] = []


class InspectedConnections(msgspec.Struct, frozen=True, kw_only=True):
    """Live connections of a client, and the details of the direct ones; `complete` is false if there are more."""

    connections: list[LiveConnection]
    direct: list[DirectConnectionDetails]
    complete: bool


class InspectConnections(Query[InspectedConnections], frozen=True, kw_only=True):
    """Inspect up to 50 live connections of a client: what they subscribe to, and what waits to be sent."""

    subject = "artcafe.presence.connection.inspect"
    deadline_s = 12.0
    client_id: str


class EndConnection(Command[LiveConnection], frozen=True, kw_only=True):
    """End a live connection. It has ended when this is answered; a client that may log in can connect again."""

    subject = "artcafe.presence.connection.end"
    raises = (ConnectionNotFound,)
    connection_id: str


class ReserveConnection(Command[ConnectionReservation], frozen=True, kw_only=True):
    """Reserve one of the `limit` connections of the caller's tenant for a WebSocket or a direct NATS connection.

    The reservation ends when the connection opens, or after 30 s (direct NATS: 5 s).
    """

    subject = "artcafe.presence.connection.reserve"
    callers = ("gateway", "identity")
    idempotent = True
    deadline_s = 2.0
    connection_id: str
    limit: int


class OpenedSocket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client's WebSocket that a gateway accepted; `account` is the public key of its tenant's NATS account."""

    connection_id: str
    tenant_id: str
    client_id: str
    account: str
    opened_at: datetime
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class ClosedSocket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client's WebSocket that was closed."""

    connection_id: str
    tenant_id: str
    reason: str = ""


class ConnectionsChanged(Event, frozen=True, kw_only=True):
    """The WebSockets that a gateway accepted, and those that were closed, since its last event.

    Those that were opened are applied first: a client that opens a connection and closes another one stays online.
    `instance` is the run of the gateway process: after a restart, the connections of its earlier runs are removed.
    """

    subject = "artcafe.events.connection.changed"
    publishers = ("gateway",)
    consumers = ("presence",)
    server_id: str
    instance: str
    opened: list[OpenedSocket] = []
    closed: list[ClosedSocket] = []


class ConnectionOpened(Event, frozen=True, kw_only=True):
    """A gateway of an earlier release accepted a client's WebSocket."""

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


class ConnectionClosed(Event, frozen=True, kw_only=True):
    """A gateway of an earlier release closed a client's WebSocket."""

    subject = "artcafe.events.connection.closed"
    publishers = ("gateway",)
    consumers = ("presence",)
    connection_id: str
    tenant_id: str
    reason: str = ""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A heartbeat over a WebSocket; `status` is the health that the client reports."""

    connection_id: str
    tenant_id: str
    client_id: str
    status: str | None = None
    metrics: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    capabilities: list[Any] | None = None


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
    """A client went online or offline, with its health then; `account` is its tenant's NATS account.

    Presence of an earlier release publishes it; now it is an entry of PresencesChanged.
    """

    subject = "artcafe.events.presence.changed"
    publishers = ("presence",)
    consumers = ("tenancy",)
    tenant_id: str
    client_id: str
    account: str
    online: bool
    health: ClientHealth = ClientHealth.UNKNOWN
    last_seen: datetime
    reason: str = ""
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class PresencesChanged(Event, frozen=True, kw_only=True):
    """Clients went online or offline, oldest change first; a change has an id and a time of its own."""

    subject = "artcafe.events.presence.updated"
    publishers = ("presence",)
    consumers = ("tenancy",)
    changes: list[PresenceChanged]


class PresenceUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The message that a tenant receives on `tenant.{tenant_id}.presence.{client_id}`."""

    client_id: str
    status: str
    health: ClientHealth
    last_seen: datetime
