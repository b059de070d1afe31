"""Records exchanged with the live state in Redis; times are Unix milliseconds of Redis's clock."""

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from artcafe_common.contracts.presence import ClientKind, Transport


def from_ms(milliseconds: float) -> datetime:
    """Convert Unix milliseconds to a UTC datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def to_ms(time: datetime) -> int:
    """Convert a datetime to Unix milliseconds."""
    return int(time.timestamp() * 1000)


def parse_nats_connection_id(connection_id: str) -> tuple[str, int]:
    """The server id and the connection number in the connection id of a direct NATS connection."""
    _, server_id, cid = connection_id.split(":")
    return server_id, int(cid)


class OpenConnection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open connection as its gateway or the broker reports it.

    `holder` is the run of the gateway process or nats-server that serves it; when that ends, the
    connection ends. `client` is empty for a user that the organization issued with a signing key of its own.
    """

    id: str
    tenant: str
    client: str
    account: str
    transport: Transport
    server: str
    holder: str
    connected_at: int
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class ClosedConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that its gateway or the broker reports as closed."""

    id: str
    tenant: str
    reason: str


class TenantConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection of a tenant; `connected_at` is in Unix milliseconds."""

    id: str
    transport: Transport
    connected_at: int


class ReportType(StrEnum):
    """The effect of a report; TRAFFIC is stored only and does not affect liveness."""

    HEARTBEAT = "heartbeat"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    TRAFFIC = "traffic"


class ConnectionReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client's report about itself on one connection; from `metrics` to `capabilities` the fields are JSON text.

    The connection is identified by `connection_id`, or by the broker's `server` name and `cid`.
    """

    type: ReportType
    tenant_id: str
    client_id: str
    connection_id: str | None = None
    server: str | None = None
    cid: int | None = None
    account: str | None = None
    status: str | None = None
    metrics: str | None = None
    traffic: str | None = None
    metadata: str | None = None
    capabilities: str | None = None


class ConnectionState(msgspec.Struct, frozen=True, kw_only=True):
    """The stored state of a live connection."""

    connection_id: str
    transport: Transport
    server: str
    connected_at: int
    last_seen: int
    ip: str = ""


class ClientState(msgspec.Struct, frozen=True, kw_only=True):
    """The stored state of a client; `sends_heartbeats` is true if any of its live connections does."""

    client_id: str
    online: bool = False
    sends_heartbeats: bool = False
    last_seen: int | None = None
    last_heartbeat_at: int | None = None
    status: str | None = None
    reason: str | None = None
    metrics: str | None = None
    traffic: str | None = None
    metadata: str | None = None
    capabilities: str | None = None
    connections: list[ConnectionState] = []


class StoredConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as Redis stores it; `client` is empty for a user that the organization issued itself."""

    tenant: str
    client: str
    transport: Transport
    server: str
    connected_at: int
    last_seen: int
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class PresenceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The states of some clients at the time `now`."""

    now: int
    clients: list[ClientState]


class OnlineClientState(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is online."""

    client_id: str
    last_seen: int


class OnlineSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The clients of a tenant that are online; none if it has too many connections, and then not `complete`."""

    complete: bool
    clients: list[OnlineClientState] = []


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """Outbox entry: a client went online or offline; `beats` if its connection sends heartbeats."""

    tenant_id: str
    client_id: str
    account: str
    online: bool
    last_seen: int
    beats: bool = False
    reason: str = ""
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """Outbox entry: a row of the connection table to write (`live`) or delete (only the ids are set)."""

    connection_id: str
    tenant_id: str
    live: bool
    client_id: str = ""
    account: str = ""
    transport: Transport = Transport.WEBSOCKET
    server: str = ""
    instance: str = ""
    connected_at: int = 0
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class ExpiryResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether more connections are overdue, and whether Redis has lost the live state."""

    more_due: bool
    state_lost: bool


class OutboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of an outbox, written at `at`; `event_id` is a ULID derived from the stream entry's id."""

    id: str
    event_id: str
    at: datetime
    data: str
