"""REST route: the connections of one client, with what their servers know of them."""

from typing import Any

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.bus.caller import CallerContext
from artcafe_common.clock import now
from artcafe_common.contracts.gateway import SentError, SocketDetails
from artcafe_common.contracts.presence import (
    DirectConnectionDetails,
    InspectConnections,
    LiveConnection,
    Transport,
)
from artcafe_common.contracts.tenancy.clients import GetClient
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import validate_id


class InspectedConnection(LiveConnection, frozen=True, kw_only=True):
    """A live connection, with what its server knows of it; `last_seen` is the last heartbeat.

    `idle_s` is since anything was received over the connection; `queued_bytes` wait to be sent. `subscriptions` are at
    most 100 of `subscription_count`; of a direct NATS connection with more than 500, none are listed. `errors` are the
    last ones that were sent over a WebSocket. What is not known is null, and `inspected` is false if the server did not
    answer.
    """

    inspected: bool
    age_s: float
    idle_s: float | None = None
    queued_bytes: int | None = None
    subscription_count: int | None = None
    subscriptions: list[str] = []
    errors: list[SentError] = []
    messages_in: int | None = None
    messages_out: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    library: str = ""


class ClientConnections(msgspec.Struct, frozen=True, kw_only=True):
    """The live connections of a client, at most 50; `complete` is false if it has more."""

    connections: list[InspectedConnection]
    complete: bool


class ClientConnectionsController(Controller):
    """Clients, which authenticate with an NKey. `status` and `last_seen` reflect the client's presence."""

    path = "/clients/{client_id:str}/connections"
    tags = ["clients"]

    @get(
        "/",
        summary="Inspect a client's connections",
        commands=[InspectConnections, GetClient],
    )
    async def inspect_connections(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> ClientConnections:
        caller = tenant_user.caller
        client = await gateway.bus.call(GetClient(client_id=validate_id(client_id)), caller=caller)
        return await inspect(gateway, client.client_id, caller)


async def inspect(gateway: Gateway, client_id: str, caller: CallerContext) -> ClientConnections:
    """The connections of a client of the caller's organization."""
    found = await gateway.bus.call(InspectConnections(client_id=client_id), caller=caller)
    sockets = await gateway.connection_details.collect(
        caller.tenant_id,
        client_id,
        {each.connection_id for each in found.connections if each.transport is Transport.WEBSOCKET},
    )
    direct = {each.connection_id: each for each in found.direct}
    return ClientConnections(
        connections=[
            _merge(each, sockets.get(each.connection_id) or direct.get(each.connection_id))
            for each in found.connections
        ],
        complete=found.complete,
    )


def _merge(
    connection: LiveConnection, details: SocketDetails | DirectConnectionDetails | None
) -> InspectedConnection:
    known: dict[str, Any] = {} if details is None else msgspec.structs.asdict(details)
    return InspectedConnection(
        **{**msgspec.structs.asdict(connection), **known},
        inspected=details is not None,
        age_s=round(max((now() - connection.connected_at).total_seconds(), 0.0), 3),
    )
