"""What happened in an organization."""

from typing import Any

from litestar import Controller, get
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.contracts.tenancy.activity import (
    ActivityPage,
    ActivitySummary,
    GetActivitySummary,
    ListActivity,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import query


class ActivityController(Controller):
    """The activity log; entries are kept for 30 days."""

    path = "/activity"
    tags = ["activity"]

    @get("/logs", summary="The activity log, newest first", does=[ListActivity])
    async def logs(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> ActivityPage:
        return await gateway.bus.call(query(request, ListActivity), caller=member.caller)

    @get("/summary", summary="The activity log in numbers", does=[GetActivitySummary])
    async def summary(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> ActivitySummary:
        return await gateway.bus.call(query(request, GetActivitySummary), caller=member.caller)
