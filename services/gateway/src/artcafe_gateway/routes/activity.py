"""REST routes: the activity log."""

from typing import Any

import msgspec
from litestar import Controller, get
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.response import Stream

from artcafe_common.contracts.tenancy.activity import (
    MAX_HOURS,
    Activity,
    ActivityName,
    ActivityPage,
    ActivityStatus,
    ActivitySummary,
    ActivityType,
    GetActivitySummary,
    Hours,
    ListActivity,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http import account_export
from artcafe_gateway.http.activity_export import export_activity
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.csv_response import CSV, wants_csv
from artcafe_gateway.http.request import read_query

EXPORT_EXAMPLE = (
    '{"activity_id":"01JNB5Y0A1B2C3D4E5F6G7H8J9","type":"client","status":"success","action":"client.created",'
    '"actor":"user:7b1f2c34-0d5e-4a6b-8c7d-9e0f1a2b3c4d","actor_name":"Ada","resource":"client:01JNB5X8S2Z4T6V8X0A2C4E6G8",'
    '"ip":"192.0.2.7","user_agent":"artcafe/0.1.0","metadata":{},"timestamp":"2026-03-01T12:00:00Z"}\n'
)


class ActivityExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Export the activity of the last `hours`, newest first, with the filters of the list; at most 100,000 entries.

    JSON Lines, or CSV for `Accept: text/csv`.
    """

    hours: Hours = MAX_HOURS
    type: ActivityType | None = None
    status: ActivityStatus | None = None
    actor: ActivityName | None = None
    resource: ActivityName | None = None


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
        "/export",
        summary="Export activity log entries as JSON Lines or CSV",
        commands=[ListActivity],
        request_type=ActivityExportQuery,
        response_type=str,
        response_example=EXPORT_EXAMPLE,
        response_media_type=account_export.MEDIA_TYPE,
        csv_rows=Activity,
    )
    async def export(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Stream:
        query = read_query(request, ActivityExportQuery)
        as_csv = wants_csv(request, account_export.MEDIA_TYPE)
        entries = export_activity(
            gateway.bus, ListActivity(**msgspec.structs.asdict(query)), tenant_user.caller, as_csv=as_csv
        )
        name = f"activity-{tenant_user.caller.tenant_id}.{'csv' if as_csv else 'jsonl'}"
        return Stream(
            entries,
            media_type=CSV if as_csv else account_export.MEDIA_TYPE,
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"},
        )

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
