"""metering: what was used. Counters, quotas, daily totals."""

from datetime import date, datetime

import msgspec

from artcafe_common.bus.command import Event, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.plans import Limits, Plan


class InvalidPeriod(CommandError):
    """The end of the period is before its start, or the period is too long."""

    status = 400
    code = "invalid_period"
    title = "The period is not valid"
    remedy = "Choose an `end_date` that is not before `start_date`, and a shorter period."


class UsageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted; bytes are of payloads, `connection_minutes` of every transport."""

    messages: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    api_calls: int = 0
    connection_minutes: int = 0


class DayUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One day of a tenant (UTC)."""

    date: date
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int
    connection_minutes: int
    active_clients: int
    active_channels: int


class UsageMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A period, day by day, with its totals and the plan's limits."""

    daily: list[DayUsage]
    totals: UsageCounts
    limits: Limits


class QuotaUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One limited thing: `limit` and `percent` are None without a limit; `projected` for the whole period."""

    used: int
    limit: int | None
    percent: float | None
    projected: int


class CurrentUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The billing period (a calendar month, UTC) so far."""

    period_start: date
    period_end: date
    plan: Plan
    messages: QuotaUsage
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int


class ClientUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Today's counts of one client."""

    client_id: str
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int


class ChannelUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Today's counts of one channel, where the way in is known (WebSocket and REST)."""

    channel_id: str
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int


class HourUsage(msgspec.Struct, frozen=True, kw_only=True):
    """One hour (UTC)."""

    hour: datetime
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int


class LiveUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Live counters: today in all, its clients and channels, and the last 24 hours."""

    today: UsageCounts
    hours: list[HourUsage]
    clients: list[ClientUsage]
    channels: list[ChannelUsage]


class GetUsageMetrics(Query[UsageMetrics], frozen=True, kw_only=True):
    """The caller's tenant's usage by day, both dates included; the last 7 days by default."""

    subject = "artcafe.metering.usage.metrics"
    raises = (InvalidPeriod,)
    plan: Plan
    start_date: date | None = None
    end_date: date | None = None


class GetCurrentUsage(Query[CurrentUsage], frozen=True, kw_only=True):
    """The caller's tenant's billing period so far."""

    subject = "artcafe.metering.usage.current"
    plan: Plan


class GetLiveUsage(Query[LiveUsage], frozen=True, kw_only=True):
    """The caller's tenant's live counters."""

    subject = "artcafe.metering.usage.local"


class UsageEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one tenant's client did on one channel since the last batch; both may be unknown."""

    tenant_id: str
    client_id: str = ""
    channel_id: str = ""
    messages: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    api_calls: int = 0
    connection_seconds: int = 0


class QuotaCrossed(Event, frozen=True, kw_only=True):
    """A tenant has used `percent` (80 or 100) of its month's messages; once a month, percent and limit.

    `event_id` is made of these, so that it is the same one when it is announced again.
    """

    subject = "artcafe.events.quota.crossed"
    publishers = ("metering",)
    consumers = ("tenancy",)
    tenant_id: str
    percent: int
    used: int
    limit: int


class BridgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How much a gateway has published, counted and reported so far over one bridge connection.

    `server` and `cid` are the broker's names of the connection; `bytes_in` is as the broker
    counts, headers included. When the connection ends, what
    the broker took in over it beyond this was published but not yet reported: it is counted then.
    """

    tenant_id: str
    server: str
    cid: int
    messages: int
    bytes_in: int


class UsageRecorded(Event, frozen=True, kw_only=True):
    """A gateway's counts since its last batch; applied once by `event_id`."""

    subject = "artcafe.events.usage.recorded"
    publishers = ("gateway",)
    consumers = ("metering",)
    server_id: str
    entries: list[UsageEntry]
    bridges: list[BridgeReport] = []
