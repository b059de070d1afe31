"""REST routes: an organization's usage."""

from typing import Any

from litestar import Controller, get
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.contracts.metering import (
    CurrentUsage,
    GetCurrentUsage,
    GetLiveUsage,
    GetUsageMetrics,
    LiveUsage,
    UsageMetrics,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import read_query


class UsageController(Controller):
    """Usage of the organization, measured against its plan."""

    path = "/usage"
    tags = ["usage"]

    @get("/metrics", summary="Get usage by day", commands=[GetUsageMetrics], server_fields=["plan"])
    async def metrics(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> UsageMetrics:
        command = read_query(request, GetUsageMetrics, plan=tenant_user.membership.plan)
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @get(
        "/current",
        summary="Get usage of the current billing period",
        commands=[GetCurrentUsage],
        server_fields=["plan"],
    )
    async def current(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> CurrentUsage:
        command = read_query(request, GetCurrentUsage, plan=tenant_user.membership.plan)
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @get("/local/stats", summary="Get live counters", commands=[GetLiveUsage])
    async def local(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> LiveUsage:
        return await gateway.bus.call(read_query(request, GetLiveUsage), caller=tenant_user.caller)
