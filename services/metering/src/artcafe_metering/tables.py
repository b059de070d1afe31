"""The metering service's DynamoDB table."""

from datetime import date
from typing import Any

import msgspec

from artcafe_common.storage.tables import Index, TableSpec


class DayItem(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of a tenant's day; `id` is `{tenant_id}#{date}`, `date` is YYYY-MM-DD (UTC)."""

    id: str
    tenant_id: str
    date: str
    messages: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    api_calls: int = 0
    connection_seconds: int = 0
    active_clients: int = 0
    active_channels: int = 0


def day_id(tenant_id: str, day: date) -> str:
    """The id of a tenant's day."""
    return f"{tenant_id}#{day}"


# These only grow; the other fields identify the tenant and the day.
TOTALS = tuple(name for name in DayItem.__struct_fields__ if name not in ("id", "tenant_id", "date"))

USAGE_METRICS = TableSpec(
    name="usage-metrics",
    item=DayItem,
    partition="id",
    indexes=(Index(name="TenantIndex", partition="tenant_id", sort="date"),),
)
TABLES: list[TableSpec[Any]] = [USAGE_METRICS]
