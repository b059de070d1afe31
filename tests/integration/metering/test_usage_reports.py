"""Usage batches of gateways, and what the API answers about them."""

from datetime import date, timedelta

import msgspec
import pytest

from artcafe_common.clock import new_id, now
from artcafe_common.contracts.metering import (
    GetChannelUsage,
    GetClientUsage,
    GetCurrentUsage,
    GetHourlyUsage,
    GetLiveUsage,
    GetRefusals,
    GetTopUsage,
    GetUsageMetrics,
    InvalidPeriod,
    RefusalEntry,
    UsageEntry,
    UsageKind,
    UsageRecorded,
)
from artcafe_common.dev.stack import REGION
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_metering.archive import UsageArchive
from artcafe_metering.tables import USAGE_METRICS, DayItem
from support.waiting import eventually, eventually_equals


async def test_redelivered_batch_is_counted_once(metering):
    org, other = await metering.create_organization(), await metering.create_organization()
    client, channel = new_id(), new_id()
    batch = UsageRecorded(
        server_id="gw",
        entries=[
            UsageEntry(
                tenant_id=org.tenant_id,
                client_id=client,
                channel_id=channel,
                messages=5,
                deliveries=7,
                bytes_in=50,
                bytes_out=70,
                connection_seconds=120,
            ),
            UsageEntry(tenant_id=org.tenant_id, api_calls=3),
            UsageEntry(tenant_id=other.tenant_id, messages=1),
        ],
    )
    for _ in range(3):
        # Without a message id, so that the stream does not discard it as a duplicate.
        await metering.gateway._js.publish(UsageRecorded.subject, msgspec.json.encode(batch))
    await metering.wait_for_final_counts(
        org,
        messages=5,
        deliveries=7,
        bytes_in=50,
        bytes_out=70,
        api_calls=3,
        connection_minutes=2,
    )
    stats = await metering.call(org, GetLiveUsage())
    assert [(c.client_id, c.messages) for c in stats.clients] == [(client, 5)]
    assert [(c.channel_id, c.deliveries) for c in stats.channels] == [(channel, 7)]
    assert len(stats.hours) == 24
    assert stats.hours[-1].messages + stats.hours[-2].messages == 5
    assert len(stats.minutes) == 60
    assert sum(minute.messages for minute in stats.minutes) == 5
    assert sum(minute.api_calls for minute in stats.minutes) == 3
    await metering.has_counts(other, messages=1, deliveries=0)

    usage = await metering.call(org, GetUsageMetrics(plan=Plan.FREE))
    assert [day.messages for day in usage.daily] == [0, 0, 0, 0, 0, 0, 5]
    assert (usage.daily[-1].active_clients, usage.daily[-1].active_channels) == (1, 1)
    assert usage.totals.api_calls == 3
    assert usage.limits == LIMITS[Plan.FREE]
    month = await metering.call(org, GetCurrentUsage(plan=Plan.FREE))
    assert (month.messages.used, month.messages.limit, month.api_calls) == (5, 10_000, 3)
    assert month.messages.projected >= 5
    retention_s = {"d": 90 * 86400, "h": 30 * 86400, "min": 7200, "m": 400 * 86400}
    for kind, seconds in retention_s.items():
        found = await metering.redis.keys(f"stats:{kind}:*{org.tenant_id}*")
        assert found
        for key in [*found, *await metering.redis.keys(f"active:d:*{org.tenant_id}*")]:
            assert 0 < await metering.redis.ttl(key) <= max(seconds, retention_s["d"])
        for key in found:
            assert await metering.redis.ttl(key) <= seconds


async def test_hours_ranks_and_refusals(metering):
    org, other = await metering.create_organization(), await metering.create_organization()
    ids = [new_id() for _ in range(3)]
    for client, messages, days in ((ids[0], 5, 0), (ids[1], 4, 0), (ids[1], 3, 1), (ids[2], 9, 8)):
        entry = UsageEntry(tenant_id=org.tenant_id, client_id=client, channel_id=ids[2], messages=messages)
        await metering.publish_usage(entry, occurred_at=now() - timedelta(days=days))
    refusals = [
        RefusalEntry(tenant_id=org.tenant_id, code="rate_limited", count=2),
        RefusalEntry(tenant_id=org.tenant_id, code="forbidden", count=1),
        RefusalEntry(tenant_id=other.tenant_id, code="forbidden", count=7),
    ]
    batch = UsageRecorded(server_id="gw", entries=[], refusals=refusals)
    for _ in range(2):
        await metering.gateway._js.publish(UsageRecorded.subject, msgspec.json.encode(batch))
    await metering.publish_usage(refusals=refusals[:1], occurred_at=now() - timedelta(hours=3))

    async def ranked():
        top = (await metering.call(org, GetTopUsage())).top
        return [(each.id, each.messages) for each in top] == [(ids[1], 7), (ids[0], 5)]

    await eventually(ranked)
    assert [each.id for each in (await metering.call(org, GetTopUsage(limit=1))).top] == [ids[1]]
    (channel,) = (await metering.call(org, GetTopUsage(by=UsageKind.CHANNEL))).top
    assert (channel.id, channel.messages) == (ids[2], 12)
    with pytest.raises(InvalidPeriod):
        await metering.call(org, GetTopUsage(start_date=now().date() - timedelta(days=31)))

    async def counted():
        return (await metering.call(org, GetRefusals())).totals == {"rate_limited": 4, "forbidden": 1}

    await eventually(counted)
    found = await metering.call(org, GetRefusals())
    assert [each.codes.get("rate_limited") for each in found.hourly] == [2, 2]
    assert (await metering.call(other, GetRefusals())).totals == {"forbidden": 7}
    hourly = (await metering.call(org, GetHourlyUsage(hours=30))).hourly
    assert len(hourly) == 30
    assert sum(each.messages for each in hourly) == 12
    for key in await metering.redis.keys(f"stats:r:*{org.tenant_id}"):
        assert 0 < await metering.redis.ttl(key) <= 30 * 86400


async def test_batch_is_counted_on_the_day_of_its_timestamp(metering):
    org = await metering.create_organization()
    yesterday = now() - timedelta(days=1)
    entry = UsageEntry(tenant_id=org.tenant_id, messages=4)
    await metering.publish_usage(entry, occurred_at=yesterday)

    async def counted():
        usage = await metering.call(org, GetUsageMetrics(plan=Plan.PRO))
        return [day.messages for day in usage.daily][-2:] == [4, 0]

    await eventually(counted)


async def test_usage_by_client_and_channel_over_days(metering):
    org, other = await metering.create_organization(), await metering.create_organization()
    client, channel = new_id(), new_id()
    entry = UsageEntry(tenant_id=org.tenant_id, client_id=client, channel_id=channel, messages=4, bytes_in=9)
    await metering.publish_usage(entry, occurred_at=now() - timedelta(days=1))
    await metering.publish_usage(msgspec.structs.replace(entry, messages=3, deliveries=2))
    await metering.wait_for_counts(org, messages=3)

    async def both_days():
        usage = await metering.call(org, GetClientUsage(client_id=client))
        return [day.messages for day in usage.daily] == [0, 0, 0, 0, 0, 4, 3]

    await eventually(both_days)
    usage = await metering.call(org, GetClientUsage(client_id=client))
    assert (usage.totals.messages, usage.totals.deliveries, usage.totals.bytes_in) == (7, 2, 18)
    yesterday = now().date() - timedelta(days=1)
    usage = await metering.call(
        org, GetChannelUsage(channel_id=channel, start_date=yesterday, end_date=yesterday)
    )
    assert [(day.date, day.messages) for day in usage.daily] == [(yesterday, 4)]
    # Ids of another organization, and of nothing, were never counted.
    for organization, wanted in ((other, client), (org, "nothing")):
        usage = await metering.call(organization, GetClientUsage(client_id=wanted))
        assert (usage.totals.messages, len(usage.daily)) == (0, 7)
    start = now().date() - timedelta(days=90)
    with pytest.raises(InvalidPeriod):
        await metering.call(org, GetClientUsage(client_id=client, start_date=start, end_date=start))


async def test_unused_days_are_zero_and_invalid_periods_are_rejected(metering):
    org = await metering.create_organization()
    start = now().date() - timedelta(days=365)
    usage = await metering.call(org, GetUsageMetrics(plan=Plan.ENTERPRISE, start_date=start))
    assert len(usage.daily) == 366
    assert usage.totals.messages == 0
    assert usage.limits.messages_per_month is None
    month = await metering.call(org, GetCurrentUsage(plan=Plan.ENTERPRISE))
    assert (month.messages.used, month.messages.limit, month.messages.percent) == (0, None, None)
    with pytest.raises(InvalidPeriod):
        await metering.call(org, GetUsageMetrics(plan=Plan.FREE, start_date=start - timedelta(days=1)))
    with pytest.raises(InvalidPeriod):
        await metering.call(
            org, GetUsageMetrics(plan=Plan.FREE, start_date=now().date(), end_date=date(2020, 1, 1))
        )


async def test_clients_beyond_the_limit_are_counted_as_other(metering):
    org = await metering.create_organization()
    day = now().strftime("%Y%m%d")
    await metering.redis.sadd(f"active:d:{day}:{org.tenant_id}:clients", *(f"c{n}" for n in range(10_000)))
    entries = [UsageEntry(tenant_id=org.tenant_id, client_id=new_id(), messages=2) for _ in range(3)]
    await metering.publish_usage(*entries)
    await metering.wait_for_counts(org, messages=6)
    stats = await metering.call(org, GetLiveUsage())
    assert {c.client_id: c.messages for c in stats.clients}["other"] == 6


class RacingTable(TenantTable):
    """A table in which others raise a day's totals, before each update of one of its rows."""

    def __init__(self, database, spec, others):
        super().__init__(database, spec)
        self._archive = UsageArchive(database)
        self._others = others

    async def update(self, *key, **change):
        if self._others:
            await self._archive.raise_totals(self._others.pop(0))
        return await super().update(*key, **change)


async def test_daily_totals_are_archived_and_never_decrease(metering):
    org, other = await metering.create_organization(), await metering.create_organization()
    entries = [
        UsageEntry(tenant_id=org.tenant_id, client_id=new_id(), messages=11, connection_seconds=90),
        UsageEntry(tenant_id=other.tenant_id, messages=1),
    ]
    await metering.publish_usage(*entries)
    today = now().date()
    async with Database(region=REGION, prefix="artcafe-") as database:
        archive, table = UsageArchive(database), TenantTable(database, USAGE_METRICS)

        async def archived():
            item = await table.get(org.tenant_id, f"{org.tenant_id}#{today}")
            return item and (item.messages, item.connection_seconds, item.active_clients) == (11, 90, 1)

        await eventually(archived)
        old = today - timedelta(days=100)

        def day(**values):
            return DayItem(id=f"{org.tenant_id}#{old}", tenant_id=org.tenant_id, date=str(old), **values)

        await archive.raise_totals(day(messages=10, deliveries=3))
        await archive.raise_totals(day(messages=4, deliveries=2))
        await archive.raise_totals(day(messages=4, deliveries=5))
        # Other instances raise other totals before each attempt but the third.
        raced = RacingTable(database, USAGE_METRICS, [day(bytes_in=7), day(bytes_out=8)])
        racing = UsageArchive(database)
        racing._days = raced
        await racing.raise_totals(day(messages=9, deliveries=6))
        item = await table.get(org.tenant_id, f"{org.tenant_id}#{old}", consistent=True)
        assert (item.messages, item.deliveries, item.bytes_in, item.bytes_out) == (10, 6, 7, 8)

        async def read_totals():
            wanted = GetUsageMetrics(plan=Plan.PRO, start_date=old - timedelta(days=1))
            usage = await metering.call(org, wanted)
            return [day.messages for day in usage.daily][:3], usage.totals.messages, usage.totals.deliveries

        # The index follows.
        await eventually_equals(read_totals, ([0, 10, 0], 21, 6))
        foreign = await metering.call(other, GetUsageMetrics(plan=Plan.PRO, start_date=old, end_date=old))
        assert foreign.totals.messages == 0
