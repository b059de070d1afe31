"""REST routes: who is in an organization."""

from typing import Any

from litestar import Controller, get
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.bus.errors import InvalidCursor
from artcafe_common.contracts.presence import GetPresences
from artcafe_common.contracts.tenancy.agents import ListAgents
from artcafe_common.contracts.tenancy.clients import ListClients
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantCaller
from artcafe_gateway.http.request import read_query
from artcafe_gateway.reporting.roster import Roster, RosterQuery


class RosterController(Controller):
    """Who is in the organization, from its catalog and presence, without a request to the agents."""

    path = "/roster"
    tags = ["roster"]

    @get(
        "/",
        summary="List the organization's clients and agents with their presence",
        commands=[ListClients, ListAgents, GetPresences],
        request_type=RosterQuery,
        errors=[InvalidCursor],
    )
    async def roster(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_caller: NamedDependency[TenantCaller],
    ) -> Roster:
        return await gateway.roster.read(read_query(request, RosterQuery), tenant_caller.lookup_caller)
