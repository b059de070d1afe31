"""The usage counters: the only code that accesses Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from artcafe_common.contracts.ingest import IngestUsage
from artcafe_common.contracts.metering import BridgeReport, RefusalEntry, UsageEntry
from artcafe_common.storage.redis_client import RedisClient
from artcafe_metering.connections import ConnectionSnapshot, TrafficTotals, connection_key
from artcafe_metering.owners import ConnectionOwner
from artcafe_metering.periods import day_key, time_bucket
from artcafe_metering.tables import DayItem, day_id

# A script counts up to BATCH connections.
TIMEOUT_S = 3.0
CLOSED_BRIDGES = "meter:ended"
# The tenants whose counters were compared with the archive, each with the run of Redis in which they were.
RECOVERED = "meter:recovered"
# Connections per script call, because a script blocks Redis while it runs.
BATCH = 500
MAX_LISTED = 1000
# Longer than a month, so that each threshold is published once a month.
CROSSING_TTL_S = 40 * 24 * 3600
OTHER = "other"
FIRST_WITH_SORT_RO = 7
FIELDS = ("messages", "deliveries", "bytes_in", "bytes_out", "api_calls", "connection_seconds")
_TRAFFIC_FIELDS = FIELDS[:4]
_PREFIXES = ("stats:", "active:", "meter:")

_SCRIPTS = ("apply_gateway_batch", "apply_broker_totals", "count_unreported", "recover")

# Counted amounts by field.
Amounts = dict[str, int]


class CounterKind(StrEnum):
    """What a tenant's daily counters are split by."""

    CLIENT = "client"
    CHANNEL = "channel"


class LiveCounters(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's counters of today, of some hours and minutes, and of its busiest clients and channels by id."""

    today: Amounts
    hours: list[Amounts]
    minutes: list[Amounts]
    clients: dict[str, Amounts]
    channels: dict[str, Amounts]


@asynccontextmanager
async def open_counters(url: str, ca_file: Path | None = None) -> AsyncIterator["UsageCounters"]:
    """The counters in the Redis at `url`, which need not be reachable yet."""
    client = RedisClient(url, timeout_s=TIMEOUT_S, decode=True, ca_file=ca_file)
    try:
        yield UsageCounters(client)
    finally:
        await client.close()


class UsageCounters:
    """The usage counters in Redis; each change is one script, so it is atomic."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        # Tenants whose usage grew since their quota was last checked.
        self.changed_tenants: set[str] = set()
        self.statistics = client.statistics
        # SORT counts as a write, which a Redis may refuse; Redis 6 has no other.
        self._sort = "SORT"
        folder = files("artcafe_metering") / "lua"
        common = (folder / "common.lua").read_text()
        self._scripts = {
            name: client.script(common + (folder / f"{name}.lua").read_text(), name) for name in _SCRIPTS
        }

    async def check(self) -> None:
        """Raise StoreUnavailable unless Redis accepts a write."""
        await self._client.check()

    async def apply_gateway_batch(
        self,
        event_id: str,
        at: datetime,
        entries: Sequence[UsageEntry],
        bridges: Sequence[BridgeReport],
        refusals: Sequence[RefusalEntry] = (),
    ) -> bool:
        """Count a gateway's usage batch; returns False if it was already counted."""
        bucket = time_bucket(at)
        rows = [
            (
                entry.tenant_id,
                entry.client_id,
                entry.channel_id,
                [getattr(entry, field) for field in FIELDS],
            )
            for entry in entries
        ]
        reports = [
            (connection_key(bridge.server, bridge.cid), bridge.tenant_id, bridge.messages, bridge.bytes_in)
            for bridge in bridges
        ]
        marker = f"meter:batch:{event_id}"
        applied = await self._run(
            "apply_gateway_batch",
            marker,
            bucket.day,
            bucket.hour,
            bucket.minute,
            _json(rows),
            _json(reports),
            _json([(each.tenant_id, each.code, each.count) for each in refusals]),
        )
        self.changed_tenants.update(entry.tenant_id for entry in entries if entry.messages)
        return bool(applied)

    async def apply_broker_totals(
        self,
        now: datetime,
        snapshots: Sequence[tuple[ConnectionSnapshot, ConnectionOwner]],
        counted: Mapping[str, TrafficTotals] = MappingProxyType({}),
    ) -> None:
        """Count the growth of connections' traffic totals; `counted` are those of the last time, by connection key.

        Idempotent, in any order and from any instance, because totals are absolute.
        """
        rows = [
            snapshot.script_row(
                owner.client_id, bridge=owner.bridge, now=now, counted=counted.get(snapshot.key)
            )
            for snapshot, owner in snapshots
        ]
        for start in range(0, len(rows), BATCH):
            await self._run("apply_broker_totals", CLOSED_BRIDGES, _json(rows[start : start + BATCH]))
        self.changed_tenants.update(
            snapshot.tenant_id
            for snapshot, _owner in snapshots
            if (before := counted.get(snapshot.key)) is None or before.in_msgs != snapshot.totals.in_msgs
        )

    async def subtract_ingest(self, event_id: str, at: datetime, entries: Sequence[IngestUsage]) -> None:
        """Subtract ingest messages, which the broker's totals include; idempotent by event id."""
        negative = [
            UsageEntry(
                tenant_id=entry.tenant_id,
                client_id=entry.client_id,
                messages=-entry.messages,
                bytes_in=-entry.bytes_in,
            )
            for entry in entries
        ]
        await self.apply_gateway_batch(event_id, at, negative, [])

    async def closed_bridges(self, before: datetime) -> list[str]:
        """The keys of some bridges that closed before a time and are not reconciled yet."""
        until = before.timestamp() * 1000
        keys: list[str] = await self._call(
            lambda client: client.zrangebyscore(CLOSED_BRIDGES, "-inf", until, start=0, num=BATCH)
        )
        return keys

    async def count_unreported(self, now: datetime, bridges: Sequence[str]) -> None:
        """Count what was published over bridges but not reported by their gateways."""
        bucket = time_bucket(now)
        await self._run(
            "count_unreported", CLOSED_BRIDGES, bucket.day, bucket.hour, bucket.minute, _json(bridges)
        )

    async def unrecovered_tenants(self, tenants: Sequence[str]) -> tuple[str, list[str]]:
        """The id of this run of Redis, and those of the tenants that were not recovered in it; one round trip.

        Requests for usage begin with it: they fail at once in an outage.
        """
        if not tenants:
            return "", []
        pipeline = self._client.pipeline()
        pipeline.info("server")
        pipeline.hmget(RECOVERED, list(tenants))
        info, runs = await self._send(pipeline, wait_for_recovery=False)
        run_id = info["run_id"]
        if int(info["redis_version"].partition(".")[0]) >= FIRST_WITH_SORT_RO:
            self._sort = "SORT_RO"
        return run_id, [tenant_id for tenant_id, run in zip(tenants, runs, strict=True) if run != run_id]

    async def recover(self, run_id: str, tenant_id: str, days: Sequence[DayItem], at: datetime) -> bool:
        """Raise a tenant's counters to archived totals; returns whether one was lower. Idempotent."""
        rows = [
            (day_key(date.fromisoformat(day.date)), [getattr(day, field) for field in FIELDS]) for day in days
        ]
        at_ms = str(int(at.timestamp() * 1000))
        raised = await self._run("recover", RECOVERED, run_id, tenant_id, at_ms, _json(rows))
        if raised:
            self.changed_tenants.add(tenant_id)
        return bool(raised)

    async def active_tenants(self, day: date) -> list[str]:
        """The tenants with usage on a day."""
        return sorted(await self._call(lambda client: client.smembers(f"meter:tenants:{day_key(day)}")))

    async def daily_totals(self, tenant_days: Sequence[tuple[str, date]]) -> list[DayItem]:
        """The daily totals of tenants, in the given order; one round trip."""
        pipeline = self._client.pipeline()
        for tenant_id, day in tenant_days:
            key = day_key(day)
            pipeline.hgetall(f"stats:d:{key}:{tenant_id}")
            pipeline.scard(f"active:d:{key}:{tenant_id}:clients")
            pipeline.scard(f"active:d:{key}:{tenant_id}:channels")
        replies = await self._send(pipeline)
        return [
            DayItem(
                id=day_id(tenant_id, day),
                tenant_id=tenant_id,
                date=str(day),
                active_clients=replies[3 * n + 1],
                active_channels=replies[3 * n + 2],
                **_amounts(replies[3 * n]),
            )
            for n, (tenant_id, day) in enumerate(tenant_days)
        ]

    async def monthly_totals(self, tenant_id: str, first: date) -> Amounts:
        """The totals of a tenant in the calendar month that starts at `first`."""
        return _amounts(await self._call(lambda client: client.hgetall(f"stats:m:{first:%Y%m}:{tenant_id}")))

    async def monthly_messages(self, tenants: Sequence[str], first: date) -> dict[str, int]:
        """The messages that each tenant published in a calendar month; one round trip."""
        pipeline = self._client.pipeline()
        for tenant_id in tenants:
            pipeline.hget(f"stats:m:{first:%Y%m}:{tenant_id}", "messages")
        replies = await self._send(pipeline) if tenants else []
        return {tenant_id: int(used or 0) for tenant_id, used in zip(tenants, replies, strict=True)}

    async def is_crossing_published(self, crossing: str) -> bool:
        """Whether a crossed threshold was marked as published."""
        return bool(await self._call(lambda client: client.exists(f"meter:crossed:{crossing}")))

    async def mark_crossing_published(self, crossing: str) -> None:
        """Mark a crossed threshold as published."""
        await self._call(lambda client: client.set(f"meter:crossed:{crossing}", 1, ex=CROSSING_TTL_S))

    async def delete_tenant(self, tenant_id: str) -> None:
        """Remove all counters of a tenant. Idempotent."""
        async for keys in self._client.scan(f"*:{tenant_id}*"):
            # Other services may have keys in the same Redis.
            if own := [key for key in keys if key.startswith(_PREFIXES)]:
                await self._client.unlink(*own)
        pipeline = self._client.pipeline()
        async for keys in self._client.scan_hashes(connection_key("*", "*"), "tenant", tenant_id):
            pipeline.unlink(*keys)
            pipeline.zrem(CLOSED_BRIDGES, *keys)
        pipeline.hdel(RECOVERED, tenant_id)
        async for keys in self._client.scan("meter:tenants:*"):
            for key in keys:
                pipeline.srem(key, tenant_id)
        await self._send(pipeline)
        self.changed_tenants.discard(tenant_id)

    async def daily_totals_of(
        self, tenant_id: str, kind: CounterKind, item_id: str, days: Sequence[date]
    ) -> list[Amounts]:
        """The totals of one client or channel on each of the days; one round trip."""
        pipeline = self._client.pipeline()
        for day in days:
            pipeline.hgetall(f"stats:d:{day_key(day)}:{tenant_id}:{kind}:{item_id}")
        return [_amounts(raw) for raw in await self._send(pipeline)]

    async def hourly_totals(self, tenant_id: str, hours: Sequence[datetime]) -> list[Amounts]:
        """The totals of each of the hours; one round trip."""
        return [_amounts(raw) for raw in await self._read_hours("stats:h", tenant_id, hours)]

    async def hourly_refusals(self, tenant_id: str, hours: Sequence[datetime]) -> list[Amounts]:
        """The refusals by error code in each of the hours; one round trip."""
        raw = await self._read_hours("stats:r", tenant_id, hours)
        return [{code: int(count) for code, count in each.items()} for each in raw]

    async def _read_hours(
        self, prefix: str, tenant_id: str, hours: Sequence[datetime]
    ) -> list[dict[str, str]]:
        pipeline = self._client.pipeline()
        for bucket in map(time_bucket, hours):
            pipeline.hgetall(f"{prefix}:{bucket.day}:{bucket.hour}:{tenant_id}")
        return await self._send(pipeline)

    async def busiest(
        self, tenant_id: str, kind: CounterKind, days: Sequence[date]
    ) -> list[dict[str, Amounts]]:
        """The busiest clients or channels of each of the days, by id; one round trip."""
        pipeline = self._client.pipeline()
        for day in days:
            self._request_busiest(pipeline, tenant_id, day_key(day), kind)
        replies = await self._send(pipeline)
        return [_by_id(replies[n], replies[n + 1]) for n in range(0, len(replies), 2)]

    def _request_busiest(self, pipeline: Any, tenant_id: str, day: str, kind: CounterKind) -> None:
        """Two requests: the sorted rows, and the amounts of those that are not counted one by one."""
        member = f"stats:d:{day}:{tenant_id}:{kind}"
        fields = ["#", *(f"{member}:*->{field}" for field in _TRAFFIC_FIELDS)]
        pipeline.execute_command(
            self._sort,
            f"active:d:{day}:{tenant_id}:{kind}s",
            *("BY", f"{member}:*->messages", "LIMIT", 0, MAX_LISTED),
            *(word for field in fields for word in ("GET", field)),
            "DESC",
        )
        pipeline.hgetall(f"{member}:{OTHER}")

    async def live_counters(
        self, tenant_id: str, hours: Sequence[datetime], minutes: Sequence[datetime]
    ) -> LiveCounters:
        """The counters of `hours` and `minutes`, and of the day of the last hour; one round trip."""
        today = time_bucket(hours[-1]).day
        daily = f"stats:d:{today}:{tenant_id}"
        pipeline = self._client.pipeline()
        pipeline.hgetall(daily)
        for bucket in map(time_bucket, hours):
            pipeline.hgetall(f"stats:h:{bucket.day}:{bucket.hour}:{tenant_id}")
        for bucket in map(time_bucket, minutes):
            pipeline.hgetall(f"stats:min:{bucket.day}:{bucket.hour}{bucket.minute}:{tenant_id}")
        for kind in CounterKind:
            self._request_busiest(pipeline, tenant_id, today, kind)
        replies = await self._send(pipeline)
        clients, other_clients, channels, other_channels = replies[-4:]
        return LiveCounters(
            today=_amounts(replies[0]),
            hours=[_amounts(raw) for raw in replies[1 : 1 + len(hours)]],
            minutes=[_amounts(raw) for raw in replies[1 + len(hours) : -4]],
            clients=_by_id(clients, other_clients),
            channels=_by_id(channels, other_channels),
        )

    async def _run(self, script: str, key: str, *args: str) -> Any:
        # What is counted stays counted when the primary is lost; the caller repeats what may not be.
        async with self._client.replicated():
            return await self._scripts[script].run([key], args, wait_for_recovery=True)

    async def _call(self, command: Callable[[Any], Awaitable[Any]]) -> Any:
        return await self._client.execute(command, operation="other")

    async def _send(self, pipeline: Any, *, wait_for_recovery: bool = True) -> list[Any]:
        replies: list[Any] = await self._client.execute(
            lambda _client: pipeline.execute(), operation="other", wait_for_recovery=wait_for_recovery
        )
        return replies


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _amounts(raw: dict[str, str]) -> Amounts:
    # Negative for a short time if an ingest message is subtracted before its connection's totals are added.
    return {field: max(0, int(raw.get(field, 0))) for field in FIELDS}


def _by_id(sorted_rows: list[str], other: dict[str, str]) -> dict[str, Amounts]:
    width = 1 + len(_TRAFFIC_FIELDS)
    rows = (sorted_rows[start : start + width] for start in range(0, len(sorted_rows), width))
    amounts = {
        member_id: _amounts({f: v for f, v in zip(_TRAFFIC_FIELDS, values, strict=True) if v})
        for member_id, *values in rows
    }
    if other:
        amounts[OTHER] = _amounts(other)
    return amounts
