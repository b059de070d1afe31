"""REST routes: the activity log."""

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
from artcafe_gateway.http.request import read_query


class ActivityController(Controller):
    """The organization's activity log. Entries are stored for 30 days."""

    path = "/activity"
    tags = ["activity"]

    @get("/logs", summary="List activity log entries, newest first", commands=[ListActivity])
    async def logs(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> ActivityPage:
        return await gateway.bus.call(read_query(request, ListActivity), caller=tenant_user.caller)

    @get(
        "/summary",
        summary="Count activity log entries by type, status and action",
        commands=[GetActivitySummary],
    )
    async def summary(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> ActivitySummary:
        return await gateway.bus.call(read_query(request, GetActivitySummary), caller=tenant_user.caller)
