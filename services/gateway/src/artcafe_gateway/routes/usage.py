"""REST routes: an organization's usage."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Controller, Response, get
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.concurrency import run_together
from artcafe_common.contracts.metering import (
    CurrentUsage,
    DayUsage,
    GetChannelUsage,
    GetClientUsage,
    GetCurrentUsage,
    GetHourlyUsage,
    GetLiveUsage,
    GetRefusals,
    GetTopUsage,
    GetUsageMetrics,
    HourlyUsage,
    HourUsage,
    ItemDayUsage,
    ItemUsage,
    LiveUsage,
    RankedUsage,
    Refusals,
    TopUsage,
    UsageMetrics,
)
from artcafe_common.contracts.presence import CountConnections
from artcafe_common.contracts.tenancy.accounts import GetResourceUsage
from artcafe_common.plans import LIMITS
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.csv_response import respond
from artcafe_gateway.http.request import read_query, validate_id


class LimitUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What is used of one of the plan's limits now; `limit` and `percent` are null without a limit."""

    used: int
    limit: int | None
    percent: float | None


class CurrentUsageReport(CurrentUsage, frozen=True, kw_only=True):
    """The usage of the current billing period, a calendar month (UTC), and what is used of the plan's other limits.

    `clients` includes agents; `connections` are the live ones over every transport; `storage_bytes` is what the
    streams of subject records and of the channels' history reserve.
    """

    clients: LimitUsage
    channels: LimitUsage
    connections: LimitUsage
    storage_bytes: LimitUsage


class RefusalCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often an error code was the answer in one hour."""

    hour: datetime
    code: str
    count: int


class UsageController(Controller):
    """Usage of the organization, measured against its plan. With `Accept: text/csv`, lists are CSV."""

    path = "/usage"
    tags = ["usage"]

    @get(
        "/metrics",
        summary="Get usage by day",
        commands=[GetUsageMetrics],
        server_fields=["plan"],
        response_type=UsageMetrics,
        csv_rows=DayUsage,
    )
    async def metrics(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Response[bytes]:
        command = read_query(request, GetUsageMetrics, plan=tenant_user.membership.plan)
        usage = await gateway.bus.call(command, caller=tenant_user.caller)
        return respond(request, usage, DayUsage, usage.daily)

    @get(
        "/hourly",
        summary="Get usage by hour",
        commands=[GetHourlyUsage],
        response_type=HourlyUsage,
        csv_rows=HourUsage,
    )
    async def hourly(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Response[bytes]:
        command = read_query(request, GetHourlyUsage)
        usage = await gateway.bus.call(command, caller=tenant_user.caller)
        return respond(request, usage, HourUsage, usage.hourly)

    @get(
        "/top",
        summary="Rank clients or channels by usage",
        commands=[GetTopUsage],
        response_type=TopUsage,
        csv_rows=RankedUsage,
    )
    async def top(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Response[bytes]:
        command = read_query(request, GetTopUsage)
        usage = await gateway.bus.call(command, caller=tenant_user.caller)
        return respond(request, usage, RankedUsage, usage.top)

    @get(
        "/refusals",
        summary="Count refusals by error code and hour",
        commands=[GetRefusals],
        response_type=Refusals,
        csv_rows=RefusalCount,
    )
    async def refusals(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Response[bytes]:
        refusals = await gateway.bus.call(read_query(request, GetRefusals), caller=tenant_user.caller)
        counts = [
            RefusalCount(hour=each.hour, code=code, count=count)
            for each in refusals.hourly
            for code, count in sorted(each.codes.items())
        ]
        return respond(request, refusals, RefusalCount, counts)

    @get(
        "/current",
        summary="Get usage of the current billing period",
        commands=[GetCurrentUsage, GetResourceUsage, CountConnections],
        server_fields=["plan"],
    )
    async def current(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> CurrentUsageReport:
        command = read_query(request, GetCurrentUsage, plan=tenant_user.membership.plan)
        caller, limits = tenant_user.caller, LIMITS[tenant_user.membership.plan]
        usage, resources, live = await run_together(
            gateway.bus.call(command, caller=caller),
            gateway.bus.call(GetResourceUsage(), caller=caller),
            gateway.bus.call(CountConnections(), caller=caller),
        )
        return CurrentUsageReport(
            **msgspec.structs.asdict(usage),
            clients=_limit_usage(resources.clients, limits.clients),
            channels=_limit_usage(resources.channels, limits.channels),
            connections=_limit_usage(live.connections, limits.connections),
            storage_bytes=_limit_usage(resources.storage_bytes, limits.storage_bytes),
        )

    @get(
        "/clients/{client_id:str}",
        summary="Get usage of a client by day",
        commands=[GetClientUsage],
        response_type=ItemUsage,
        csv_rows=ItemDayUsage,
    )
    async def client(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        client_id: FromPath[str],
    ) -> Response[bytes]:
        command = read_query(request, GetClientUsage, client_id=validate_id(client_id))
        usage = await gateway.bus.call(command, caller=tenant_user.caller)
        return respond(request, usage, ItemDayUsage, usage.daily)

    @get(
        "/channels/{channel_id:str}",
        summary="Get usage of a channel by day",
        commands=[GetChannelUsage],
        response_type=ItemUsage,
        csv_rows=ItemDayUsage,
    )
    async def channel(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Response[bytes]:
        command = read_query(request, GetChannelUsage, channel_id=validate_id(channel_id))
        usage = await gateway.bus.call(command, caller=tenant_user.caller)
        return respond(request, usage, ItemDayUsage, usage.daily)

    @get("/local/stats", summary="Get live counters", commands=[GetLiveUsage])
    async def local(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> LiveUsage:
        return await gateway.bus.call(read_query(request, GetLiveUsage), caller=tenant_user.caller)


def _limit_usage(used: int, limit: int | None) -> LimitUsage:
    percent = None if limit is None else round(100 * used / limit, 2) if limit else 100.0
    return LimitUsage(used=used, limit=limit, percent=percent)
