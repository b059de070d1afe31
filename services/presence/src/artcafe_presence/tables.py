"""The connection table in DynamoDB, from which the live state in Redis can be restored."""

from datetime import datetime

import msgspec

from artcafe_common.contracts.presence import ClientKind, Transport
from artcafe_common.storage.tables import Index, TableSpec


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A live connection; `instance` is the run of the server that serves it, `expires_at` is in Unix seconds."""

    connection_id: str
    tenant_id: str
    client_id: str
    account: str
    transport: Transport
    server: str
    instance: str
    connected_at: datetime
    ip: str = ""
    kind: ClientKind = ClientKind.CLIENT
    expires_at: int


CONNECTIONS = TableSpec(
    name="websocket-connections",
    item=ConnectionRow,
    partition="connection_id",
    indexes=(
        Index(name="ServerIndex", partition="server"),
        Index(name="TenantIndex", partition="tenant_id"),
        Index(name="AgentIdIndex", partition="client_id"),
    ),
    ttl="expires_at",
)

TABLES = [CONNECTIONS]
