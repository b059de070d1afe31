"""metering's commands."""

from datetime import date, timedelta

from artcafe_common.bus.caller import current_tenant
from artcafe_common.bus.endpoints import handles
from artcafe_common.clock import now
from artcafe_common.contracts.metering import (
    ChannelUsage,
    ClientUsage,
    CurrentUsage,
    DayUsage,
    GetCurrentUsage,
    GetLiveUsage,
    GetUsageMetrics,
    HourUsage,
    LiveUsage,
    UsageCounts,
    UsageMetrics,
)
from artcafe_common.plans import LIMITS
from artcafe_metering.periods import days_of, kept, last_hours, month_of, quota
from artcafe_metering.store import Amounts, Archive, Counters
from artcafe_metering.tables import DayItem

_MEMBER = ("messages", "deliveries", "bytes_in", "bytes_out")
_COUNTED = (*_MEMBER, "api_calls")


class Endpoints:
    """What the caller's tenant has used, never another's."""

    def __init__(self, counters: Counters, archive: Archive) -> None:
        self._counters = counters
        self._archive = archive

    @handles(GetUsageMetrics)
    async def get_usage_metrics(self, request: GetUsageMetrics) -> UsageMetrics:
        tenant_id, today = current_tenant(), now().date()
        days = days_of(request.start_date, request.end_date, today=today)
        live = [day for day in days if kept(day, today=today)]
        found: dict[str, DayItem] = {}
        if live:
            items = await self._counters.days([(tenant_id, day) for day in live])
            found |= {item.date: item for item in items}
        if len(live) < len(days):
            last = live[0] - timedelta(days=1) if live else days[-1]
            found |= {item.date: item for item in await self._archive.days(tenant_id, days[0], last)}
        nothing = DayItem(id="", tenant_id=tenant_id, date="")
        daily = [_day(found.get(str(day), nothing), day) for day in days]
        return UsageMetrics(
            daily=daily,
            totals=UsageCounts(
                **{name: sum(getattr(day, name) for day in daily) for name in UsageCounts.__struct_fields__}
            ),
            limits=LIMITS[request.plan],
        )

    @handles(GetCurrentUsage)
    async def get_current_usage(self, request: GetCurrentUsage) -> CurrentUsage:
        tenant_id, at = current_tenant(), now()
        first, last = month_of(at)
        used = await self._counters.month(tenant_id, first)
        return CurrentUsage(
            period_start=first,
            period_end=last,
            plan=request.plan,
            messages=quota(used["messages"], LIMITS[request.plan].messages_per_month, at),
            **_only(used, ("deliveries", "bytes_in", "bytes_out", "api_calls")),
        )

    @handles(GetLiveUsage)
    async def get_local_stats(self, request: GetLiveUsage) -> LiveUsage:  # noqa: ARG002 - says all by its type
        hours = last_hours(now())
        local = await self._counters.local(current_tenant(), hours)
        return LiveUsage(
            today=UsageCounts(
                **_only(local.today, _COUNTED), connection_minutes=local.today["connection_seconds"] // 60
            ),
            hours=[
                HourUsage(hour=hour, **_only(amounts, _COUNTED))
                for hour, amounts in zip(hours, local.hours, strict=True)
            ],
            clients=[ClientUsage(client_id=id_, **_only(a, _MEMBER)) for id_, a in local.clients.items()],
            channels=[ChannelUsage(channel_id=id_, **_only(a, _MEMBER)) for id_, a in local.channels.items()],
        )


def _only(amounts: Amounts, fields: tuple[str, ...]) -> Amounts:
    return {field: amounts[field] for field in fields}


def _day(item: DayItem, day: date) -> DayUsage:
    return DayUsage(
        date=day,
        messages=item.messages,
        deliveries=item.deliveries,
        bytes_in=item.bytes_in,
        bytes_out=item.bytes_out,
        api_calls=item.api_calls,
        connection_minutes=item.connection_seconds // 60,
        active_clients=item.active_clients,
        active_channels=item.active_channels,
    )
