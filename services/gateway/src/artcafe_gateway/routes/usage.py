"""What an organization used."""

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
from artcafe_gateway.http.request import query


class UsageController(Controller):
    """The plan comes from the membership, never from the query."""

    path = "/usage"
    tags = ["usage"]

    @get("/metrics", summary="Usage by day", does=[GetUsageMetrics], given=["plan"])
    async def metrics(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> UsageMetrics:
        command = query(request, GetUsageMetrics, plan=member.membership.plan)
        return await gateway.bus.call(command, caller=member.caller)

    @get("/current", summary="The billing period so far", does=[GetCurrentUsage], given=["plan"])
    async def current(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> CurrentUsage:
        command = query(request, GetCurrentUsage, plan=member.membership.plan)
        return await gateway.bus.call(command, caller=member.caller)

    @get("/local/stats", summary="Live counters", does=[GetLiveUsage])
    async def local(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> LiveUsage:
        return await gateway.bus.call(query(request, GetLiveUsage), caller=member.caller)
