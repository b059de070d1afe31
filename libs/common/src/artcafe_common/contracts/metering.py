"""Contract of metering: usage counters, quotas and daily totals."""

import datetime as dt
from datetime import date
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from artcafe_common.bus.command import Event, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.broker import BrokerReport
from artcafe_common.plans import Limits, Plan

# Hourly counters are stored for 30 days.
UsageHours = Annotated[int, Meta(ge=1, le=30 * 24)]


class InvalidPeriod(CommandError):
    """The end of the period is before its start, or the period is too long."""

    status = 400
    code = "invalid_period"
    title = "The period is not valid"
    remedy = "Choose an `end_date` that is not before `start_date`, and a shorter period."


class UsageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Usage totals. Bytes are of payloads; `connection_minutes` includes every transport."""

    messages: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    api_calls: int = 0
    connection_minutes: int = 0


class DayUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one day (UTC)."""

    date: dt.date
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int
    connection_minutes: int
    active_clients: int
    active_channels: int


class UsageMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of a period by day, its totals, and the plan's limits."""

    daily: list[DayUsage]
    totals: UsageCounts
    limits: Limits


class QuotaUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage against a limit. `limit` and `percent` are null without a limit; `projected` is for the whole period."""

    used: int
    limit: int | None
    percent: float | None
    projected: int


class CurrentUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of the current billing period, a calendar month (UTC)."""

    period_start: date
    period_end: date
    plan: Plan
    messages: QuotaUsage
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int


class ClientUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Today's usage of one client."""

    client_id: str
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int


class ChannelUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Today's usage of one channel; messages published over direct NATS are not included."""

    channel_id: str
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int


class HourUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one hour (UTC)."""

    hour: dt.datetime
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int


class MinuteUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one minute (UTC)."""

    minute: dt.datetime
    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int
    api_calls: int


class LiveUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Live counters: today's totals, clients and channels, the last 24 hours and the last 60 minutes.

    Gateways report at most a second late. Direct NATS traffic is in the minute in which it was read from the broker.
    """

    today: UsageCounts
    hours: list[HourUsage]
    minutes: list[MinuteUsage]
    clients: list[ClientUsage]
    channels: list[ChannelUsage]


class GetUsageMetrics(Query[UsageMetrics], frozen=True, kw_only=True):
    """Get the usage of the caller's organization by day, both dates included; the last 7 days by default."""

    subject = "artcafe.metering.usage.metrics"
    raises = (InvalidPeriod,)
    plan: Plan
    start_date: date | None = None
    end_date: date | None = None


class GetCurrentUsage(Query[CurrentUsage], frozen=True, kw_only=True):
    """Get the usage of the current billing period of the caller's organization."""

    subject = "artcafe.metering.usage.current"
    callers = ("gateway", "identity")
    plan: Plan


class TrafficCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of messages, deliveries and the bytes of their payloads."""

    messages: int
    deliveries: int
    bytes_in: int
    bytes_out: int


class ItemDayUsage(TrafficCounts, frozen=True, kw_only=True):
    """The traffic of one client or channel on one day (UTC)."""

    date: dt.date


class ItemUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic of one client or channel by day, and its totals; of an id that was never counted, zeros."""

    daily: list[ItemDayUsage]
    totals: TrafficCounts


class GetClientUsage(Query[ItemUsage], frozen=True, kw_only=True):
    """Get the usage of a client of the caller's organization by day, both dates included; the last 7 days by default.

    It is stored for 90 days, also after the client was deleted. The client `other` stands for all clients of a day
    beyond 10,000.
    """

    subject = "artcafe.metering.usage.client"
    raises = (InvalidPeriod,)
    client_id: str
    start_date: date | None = None
    end_date: date | None = None


class GetChannelUsage(Query[ItemUsage], frozen=True, kw_only=True):
    """Get the usage of a channel of the caller's organization by day, both dates included; the last 7 days by default.

    It is stored for 90 days, also after the channel was deleted. Messages published over direct NATS are not included.
    The channel `other` stands for all channels of a day beyond 10,000.
    """

    subject = "artcafe.metering.usage.channel"
    raises = (InvalidPeriod,)
    channel_id: str
    start_date: date | None = None
    end_date: date | None = None


class GetLiveUsage(Query[LiveUsage], frozen=True, kw_only=True):
    """Get the live counters of the caller's organization."""

    subject = "artcafe.metering.usage.local"


class HourlyUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of hours (UTC), the oldest first, the current one included."""

    hourly: list[HourUsage]


class GetHourlyUsage(Query[HourlyUsage], frozen=True, kw_only=True):
    """Get the usage of the caller's organization by hour, in the last `hours`."""

    subject = "artcafe.metering.usage.hourly"
    hours: UsageHours = 24


class UsageKind(StrEnum):
    """What usage is ranked by."""

    CLIENT = "client"
    CHANNEL = "channel"


class RankedUsage(TrafficCounts, frozen=True, kw_only=True):
    """The usage of one client or channel in a period."""

    id: str


class TopUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The clients or channels with the most messages and deliveries in a period, the busiest first."""

    top: list[RankedUsage]


class GetTopUsage(Query[TopUsage], frozen=True, kw_only=True):
    """Rank the clients or channels of the caller's organization by usage, both dates included; at most 31 days.

    The last 7 days by default. The 1,000 busiest of each day are counted, and `other` stands for those beyond 10,000.
    """

    subject = "artcafe.metering.usage.top"
    raises = (InvalidPeriod,)
    deadline_s = 6.0
    by: UsageKind = UsageKind.CLIENT
    start_date: date | None = None
    end_date: date | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class HourRefusals(msgspec.Struct, frozen=True, kw_only=True):
    """How often each error code was the answer in one hour (UTC)."""

    hour: dt.datetime
    codes: dict[str, int]


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """Refusals by error code: of the hours with any, the oldest first, and their totals."""

    hourly: list[HourRefusals]
    totals: dict[str, int]


class GetRefusals(Query[Refusals], frozen=True, kw_only=True):
    """Count the errors that clients and people of the caller's organization were answered with, in the last `hours`.

    Over REST, WebSocket and server-sent events; what the broker refuses to direct NATS clients is not known.
    """

    subject = "artcafe.metering.usage.refusals"
    hours: UsageHours = 24


class RefusalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How often an organization was answered with an error code since the last batch."""

    tenant_id: str
    code: str
    count: int


class UsageEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The usage of one client on one channel since the last batch; either id may be empty."""

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
    """A tenant has used `percent` (80 or 100) of its messages of the month.

    Published once for each month, percentage and limit; `event_id` is derived from these.
    """

    subject = "artcafe.events.quota.crossed"
    publishers = ("metering",)
    consumers = ("identity", "tenancy")
    tenant_id: str
    percent: int
    used: int
    limit: int


class BridgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The totals that a gateway has published and reported over one bridge connection.

    `server` and `cid` identify the connection at the broker; `bytes_in` includes headers, as the broker counts. When
    the connection ends, metering adds what the broker received beyond these totals.
    """

    tenant_id: str
    server: str
    cid: int
    messages: int
    bytes_in: int


class UsageRecorded(Event, frozen=True, kw_only=True):
    """A gateway's usage since its last batch."""

    subject = "artcafe.events.usage.recorded"
    publishers = ("gateway",)
    consumers = ("metering",)
    server_id: str
    entries: list[UsageEntry]
    bridges: list[BridgeReport] = []
    refusals: list[RefusalEntry] = []


class GetBrokerReport(Query[BrokerReport], frozen=True, kw_only=True):
    """Read the state of the broker: servers, streams, replicas, consumers and storage."""

    subject = "artcafe.metering.broker"
    callers = ("admin", "gateway")
    deadline_s = 6.0


class DirectTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """An organization's open direct NATS connections, and their totals since each opened."""

    tenant_id: str
    connections: int = 0
    messages: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class DirectTrafficReport(msgspec.Struct, frozen=True, kw_only=True):
    """The busiest organizations among those with direct NATS connections."""

    tenants: list[DirectTraffic]


class GetDirectTraffic(Query[DirectTrafficReport], frozen=True, kw_only=True):
    """Read the traffic of all direct NATS connections, by organization."""

    subject = "artcafe.metering.direct"
    callers = ("admin",)
    limit: int = 200
