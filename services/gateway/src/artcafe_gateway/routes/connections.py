"""REST routes: the live connections of an organization."""

from typing import Any

import msgspec
from litestar import Controller, delete, get
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.bus.errors import InvalidCursor
from artcafe_common.contracts.presence import EndConnection, ListConnections, LiveConnection
from artcafe_common.contracts.tenancy.fields import CursorText, Limit
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import read_query, validate_id

_SCOPE = "connections"


class ConnectionsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """List the live connections of the organization's clients and agents over every transport, or of one client.

    People's dashboards are not included. A connection that opens while the pages are read may be missing.
    """

    limit: Limit = 50
    cursor: CursorText | None = None
    client_id: str | None = None


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """A page of live connections."""

    connections: list[LiveConnection]
    next_cursor: str | None


class ConnectionsController(Controller):
    """The live connections of clients and agents, over WebSocket and direct NATS."""

    path = "/connections"
    tags = ["connections"]

    @get(
        "/",
        summary="List the organization's live connections",
        commands=[ListConnections],
        request_type=ConnectionsQuery,
        errors=[InvalidCursor],
    )
    async def list_connections(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Connections:
        query, caller = read_query(request, ConnectionsQuery), tenant_user.caller
        position = gateway.cursors.decode(caller.tenant_id, _SCOPE, query.cursor)
        page = await gateway.bus.call(
            ListConnections(
                limit=query.limit,
                after=position["after"] if position else None,
                client_id=query.client_id,
            ),
            caller=caller,
        )
        following = {"after": page.next_after} if page.next_after else None
        return Connections(
            connections=page.connections,
            next_cursor=gateway.cursors.encode(caller.tenant_id, _SCOPE, following),
        )

    @delete(
        "/{connection_id:str}",
        status_code=200,
        summary="End a connection; the client may connect again",
        commands=[EndConnection],
    )
    async def end(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        connection_id: FromPath[str],
    ) -> LiveConnection:
        command = EndConnection(connection_id=validate_id(connection_id))
        return await gateway.bus.call(command, caller=tenant_user.caller)
