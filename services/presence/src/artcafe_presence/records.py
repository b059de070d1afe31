"""What goes into the live state and comes out of it; times are Unix milliseconds of Redis's clock."""

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from artcafe_common.contracts.presence import ClientKind, Transport


def moment(milliseconds: float) -> datetime:
    """The time that a number of the live state stands for."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def milliseconds(time: datetime) -> int:
    """The number by which the live state knows a time."""
    return int(time.timestamp() * 1000)


def nats_connection_id(server_id: str, cid: int) -> str:
    """The name of a direct NATS connection; unique for ever, since a broker's id is new at each start."""
    return f"nats:{server_id}:{cid}"


class Opened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A connection as its gateway or the broker reports it.

    `holder` is what it lives and dies with: the run of a gateway process, or of a nats-server.
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


class Act(StrEnum):
    """What a report does to its connection; metrics are only shown."""

    BEAT = "beat"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    METRICS = "metrics"


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says of itself on one connection; `metrics` and `metadata` are JSON text.

    The connection is named by its id, or by the broker's name and connection number.
    """

    act: Act
    tenant_id: str
    client_id: str
    connection_id: str | None = None
    server: str | None = None
    cid: int | None = None
    account: str | None = None
    status: str | None = None
    metrics: str | None = None
    metadata: str | None = None


class SeenConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection as it is read."""

    connection_id: str
    transport: Transport
    server: str
    connected_at: int
    last_seen: int
    ip: str = ""


class SeenClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client as it is read; `beating`: some connection of it sends heartbeats."""

    client_id: str
    online: bool = False
    beating: bool = False
    last_seen: int | None = None
    beat_at: int | None = None
    status: str | None = None
    reason: str | None = None
    metrics: str | None = None
    metadata: str | None = None
    connections: list[SeenConnection] = []


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the live state, and when it was given."""

    now: int
    clients: list[SeenClient]


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A client went online or offline."""

    tenant_id: str
    client_id: str
    account: str
    online: bool
    last_seen: int
    reason: str = ""
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT


class RowChange(msgspec.Struct, frozen=True, kw_only=True):
    """A connection became live or ceased to be; all of it is told only in the first case."""

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


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a look at the deadlines."""

    more: bool
    lost: bool


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something of an outbox, written at `at`; `event_id` is a ULID made of the entry's place in it."""

    id: str
    event_id: str
    at: datetime
    data: str
