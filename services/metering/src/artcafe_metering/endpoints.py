"""The metering service's command handlers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from artcafe_common.bus.caller import current_tenant
from artcafe_common.bus.endpoints import handles
from artcafe_common.clock import now
from artcafe_common.contracts.broker import BrokerReport
from artcafe_common.contracts.metering import (
    ChannelUsage,
    ClientUsage,
    CurrentUsage,
    DayUsage,
    DirectTrafficReport,
    GetBrokerReport,
    GetChannelUsage,
    GetClientUsage,
    GetCurrentUsage,
    GetDirectTraffic,
    GetHourlyUsage,
    GetLiveUsage,
    GetRefusals,
    GetTopUsage,
    GetUsageMetrics,
    HourlyUsage,
    HourRefusals,
    HourUsage,
    InvalidPeriod,
    ItemDayUsage,
    ItemUsage,
    LiveUsage,
    MinuteUsage,
    RankedUsage,
    Refusals,
    TopUsage,
    TrafficCounts,
    UsageCounts,
    UsageMetrics,
)
from artcafe_common.plans import LIMITS
from artcafe_metering.archive import UsageArchive
from artcafe_metering.broker_monitor import BrokerMonitor
from artcafe_metering.broker_usage import BrokerUsageCollector
from artcafe_metering.periods import (
    REDIS_RETENTION_DAYS,
    billing_month,
    days_in_period,
    is_in_redis,
    last_hours,
    last_minutes,
    quota_usage,
)
from artcafe_metering.recovery import UsageRecovery
from artcafe_metering.store import Amounts, CounterKind, UsageCounters
from artcafe_metering.tables import DayItem

# So that a reply fits into one message of the bus.
MAX_TENANTS_PER_REPLY = 1_000
MAX_RANKED_DAYS = 31
_TRAFFIC_FIELDS = ("messages", "deliveries", "bytes_in", "bytes_out")
_USAGE_FIELDS = (*_TRAFFIC_FIELDS, "api_calls")


class Endpoints:
    """One handler for each command; those of usage read the usage of the caller's tenant only."""

    def __init__(
        self,
        counters: UsageCounters,
        archive: UsageArchive,
        broker: BrokerMonitor,
        broker_usage: BrokerUsageCollector,
        recovery: UsageRecovery,
    ) -> None:
        self._broker_usage = broker_usage
        self._counters = counters
        self._archive = archive
        self._broker = broker
        self._recovery = recovery

    @handles(GetBrokerReport)
    async def get_broker_report(self, request: GetBrokerReport) -> BrokerReport:  # noqa: ARG002 - the contract
        return await self._broker.current()

    @handles(GetDirectTraffic)
    async def get_direct_traffic(self, request: GetDirectTraffic) -> DirectTrafficReport:
        limit = min(max(request.limit, 0), MAX_TENANTS_PER_REPLY)
        return DirectTrafficReport(tenants=self._broker_usage.direct_traffic()[:limit])

    @handles(GetUsageMetrics)
    async def get_usage_metrics(self, request: GetUsageMetrics) -> UsageMetrics:
        tenant_id, today = current_tenant(), now().date()
        days = days_in_period(request.start_date, request.end_date, today=today)
        recent = [day for day in days if is_in_redis(day, today=today)]
        items: list[DayItem] = []
        if recent:
            await self._recovery.ensure([tenant_id])
            items += await self._counters.daily_totals([(tenant_id, day) for day in recent])
        if len(recent) < len(days):
            last_archived = recent[0] - timedelta(days=1) if recent else days[-1]
            items += await self._archive.list_days(tenant_id, days[0], last_archived)
        by_date = {item.date: item for item in items}
        unused = DayItem(id="", tenant_id=tenant_id, date="")
        daily = [_to_day_usage(by_date.get(str(day), unused), day) for day in days]
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
        first, last = billing_month(at)
        await self._recovery.ensure([tenant_id])
        used = await self._counters.monthly_totals(tenant_id, first)
        return CurrentUsage(
            period_start=first,
            period_end=last,
            plan=request.plan,
            messages=quota_usage(used["messages"], LIMITS[request.plan].messages_per_month, at),
            **_select(used, ("deliveries", "bytes_in", "bytes_out", "api_calls")),
        )

    @handles(GetClientUsage)
    async def get_client_usage(self, request: GetClientUsage) -> ItemUsage:
        return await self._usage_of(
            CounterKind.CLIENT, request.client_id, request.start_date, request.end_date
        )

    @handles(GetChannelUsage)
    async def get_channel_usage(self, request: GetChannelUsage) -> ItemUsage:
        return await self._usage_of(
            CounterKind.CHANNEL, request.channel_id, request.start_date, request.end_date
        )

    async def _usage_of(
        self, kind: CounterKind, item_id: str, start: date | None, end: date | None
    ) -> ItemUsage:
        days = days_in_period(start, end, today=now().date(), stored_days=REDIS_RETENTION_DAYS)
        daily = await self._counters.daily_totals_of(current_tenant(), kind, item_id, days)
        return ItemUsage(
            daily=[
                ItemDayUsage(date=day, **_select(amounts, _TRAFFIC_FIELDS))
                for day, amounts in zip(days, daily, strict=True)
            ],
            totals=TrafficCounts(
                **{field: sum(amounts[field] for amounts in daily) for field in _TRAFFIC_FIELDS}
            ),
        )

    @handles(GetHourlyUsage)
    async def get_hourly_usage(self, request: GetHourlyUsage) -> HourlyUsage:
        hours = last_hours(now(), request.hours)
        await self._recovery.ensure([current_tenant()])
        totals = await self._counters.hourly_totals(current_tenant(), hours)
        return HourlyUsage(
            hourly=[
                HourUsage(hour=hour, **_select(amounts, _USAGE_FIELDS))
                for hour, amounts in zip(hours, totals, strict=True)
            ]
        )

    @handles(GetTopUsage)
    async def get_top_usage(self, request: GetTopUsage) -> TopUsage:
        days = days_in_period(
            request.start_date, request.end_date, today=now().date(), stored_days=REDIS_RETENTION_DAYS
        )
        if len(days) > MAX_RANKED_DAYS:
            raise InvalidPeriod(f"the period must not exceed {MAX_RANKED_DAYS} days")
        await self._recovery.ensure([current_tenant()])
        return TopUsage(
            top=rank(
                await self._counters.busiest(current_tenant(), CounterKind(request.by.value), days),
                request.limit,
            )
        )

    @handles(GetRefusals)
    async def get_refusals(self, request: GetRefusals) -> Refusals:
        hours = last_hours(now(), request.hours)
        counts = await self._counters.hourly_refusals(current_tenant(), hours)
        totals: Counter[str] = Counter()
        for each in counts:
            totals.update(each)
        return Refusals(
            hourly=[
                HourRefusals(hour=hour, codes=codes)
                for hour, codes in zip(hours, counts, strict=True)
                if codes
            ],
            totals=dict(totals),
        )

    @handles(GetLiveUsage)
    async def get_live_usage(self, request: GetLiveUsage) -> LiveUsage:  # noqa: ARG002 - has no fields
        at = now()
        hours, minutes = last_hours(at), last_minutes(at)
        await self._recovery.ensure([current_tenant()])
        live = await self._counters.live_counters(current_tenant(), hours, minutes)
        return LiveUsage(
            today=UsageCounts(
                **_select(live.today, _USAGE_FIELDS),
                connection_minutes=live.today["connection_seconds"] // 60,
            ),
            hours=[
                HourUsage(hour=hour, **_select(amounts, _USAGE_FIELDS))
                for hour, amounts in zip(hours, live.hours, strict=True)
            ],
            minutes=[
                MinuteUsage(minute=minute, **_select(amounts, _USAGE_FIELDS))
                for minute, amounts in zip(minutes, live.minutes, strict=True)
            ],
            clients=[
                ClientUsage(client_id=client_id, **_select(amounts, _TRAFFIC_FIELDS))
                for client_id, amounts in live.clients.items()
            ],
            channels=[
                ChannelUsage(channel_id=channel_id, **_select(amounts, _TRAFFIC_FIELDS))
                for channel_id, amounts in live.channels.items()
            ],
        )


def rank(days: Iterable[Mapping[str, Amounts]], limit: int) -> list[RankedUsage]:
    """The ids with the most messages and deliveries over all days."""
    sums: dict[str, Counter[str]] = {}
    for day in days:
        for item_id, amounts in day.items():
            sums.setdefault(item_id, Counter()).update(_select(amounts, _TRAFFIC_FIELDS))
    ranked = sorted(sums.items(), key=lambda each: (-each[1]["messages"] - each[1]["deliveries"], each[0]))
    return [
        RankedUsage(id=item_id, **_select(amounts, _TRAFFIC_FIELDS)) for item_id, amounts in ranked[:limit]
    ]


def _select(amounts: Amounts, fields: tuple[str, ...]) -> Amounts:
    return {field: amounts[field] for field in fields}


def _to_day_usage(item: DayItem, day: date) -> DayUsage:
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
