"""The usage counters: the only code that accesses Redis."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio import Redis

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.ingest import IngestUsage
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_common.storage.redis_client import UNAVAILABLE_ERRORS
from artcafe_metering.connections import ConnectionSnapshot, connection_key
from artcafe_metering.owners import ConnectionOwner
from artcafe_metering.periods import day_key, hour_bucket
from artcafe_metering.tables import DayItem

CONNECT_TIMEOUT_S = 2
REPLY_TIMEOUT_S = 3
CLOSED_BRIDGES = "meter:ended"
# Connections per script call, because a script blocks Redis while it runs.
BATCH = 500
MAX_LISTED = 1000
# Longer than a month, so that each threshold is published once a month.
CROSSING_TTL_S = 40 * 24 * 3600
OTHER = "other"
FIELDS = ("messages", "deliveries", "bytes_in", "bytes_out", "api_calls", "connection_seconds")
_TRAFFIC_FIELDS = FIELDS[:4]

_SCRIPTS = ("apply_gateway_batch", "apply_broker_totals", "count_unreported")

# Counted amounts by field.
Amounts = dict[str, int]


class LiveCounters(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's counters of today, of some hours, and of its busiest clients and channels by id."""

    today: Amounts
    hours: list[Amounts]
    clients: dict[str, Amounts]
    channels: dict[str, Amounts]


@asynccontextmanager
async def open_counters(url: str) -> AsyncIterator["UsageCounters"]:
    """The counters in the Redis at `url`, which need not be reachable yet."""
    client = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=REPLY_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
    )
    try:
        yield UsageCounters(client)
    finally:
        await client.aclose()


class UsageCounters:
    """The usage counters in Redis; each change is one script, so it is atomic."""

    def __init__(self, client: "Redis") -> None:
        self._redis = client
        # Tenants whose usage grew since their quota was last checked.
        self.changed_tenants: set[str] = set()
        folder = files("artcafe_metering") / "lua"
        common = (folder / "common.lua").read_text()

        self._scripts = {
            name: client.register_script(common + (folder / f"{name}.lua").read_text()) for name in _SCRIPTS
        }

    async def check(self) -> None:
        """Raise StoreUnavailable unless Redis answers."""
        await self._call(self._redis.ping())

    async def apply_gateway_batch(
        self, event_id: str, at: datetime, entries: Sequence[UsageEntry], bridges: Sequence[BridgeReport]
    ) -> bool:
        """Count a gateway's usage batch; returns False if it was already counted."""
        bucket = hour_bucket(at)
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
            "apply_gateway_batch", marker, bucket.day, bucket.hour, _json(rows), _json(reports)
        )
        self.changed_tenants.update(entry.tenant_id for entry in entries if entry.messages)
        return bool(applied)

    async def apply_broker_totals(
        self, now: datetime, snapshots: Sequence[tuple[ConnectionSnapshot, ConnectionOwner]]
    ) -> None:
        """Count the growth of connections' traffic totals.

        Idempotent, in any order and from any instance, because totals are absolute.
        """
        rows = [
            snapshot.script_row(owner.client_id, bridge=owner.bridge, now=now)
            for snapshot, owner in snapshots
        ]
        for start in range(0, len(rows), BATCH):
            await self._run("apply_broker_totals", CLOSED_BRIDGES, _json(rows[start : start + BATCH]))
        self.changed_tenants.update(snapshot.tenant_id for snapshot, _owner in snapshots)

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
            self._redis.zrangebyscore(CLOSED_BRIDGES, "-inf", until, start=0, num=BATCH)
        )
        return keys

    async def count_unreported(self, now: datetime, bridges: Sequence[str]) -> None:
        """Count what was published over bridges but not reported by their gateways."""
        bucket = hour_bucket(now)
        await self._run("count_unreported", CLOSED_BRIDGES, bucket.day, bucket.hour, _json(bridges))

    async def active_tenants(self, day: date) -> list[str]:
        """The tenants with usage on a day."""
        return sorted(await self._call(self._redis.smembers(f"meter:tenants:{day_key(day)}")))

    async def daily_totals(self, tenant_days: Sequence[tuple[str, date]]) -> list[DayItem]:
        """The daily totals of tenants, in the given order; one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for tenant_id, day in tenant_days:
            key = day_key(day)
            pipeline.hgetall(f"stats:d:{key}:{tenant_id}")
            pipeline.scard(f"active:d:{key}:{tenant_id}:clients")
            pipeline.scard(f"active:d:{key}:{tenant_id}:channels")
        replies = await self._call(pipeline.execute())
        return [
            DayItem(
                id=f"{tenant_id}#{day}",
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
        return _amounts(await self._call(self._redis.hgetall(f"stats:m:{first:%Y%m}:{tenant_id}")))

    async def monthly_messages(self, tenants: Sequence[str], first: date) -> dict[str, int]:
        """The messages that each tenant published in a calendar month; one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for tenant_id in tenants:
            pipeline.hget(f"stats:m:{first:%Y%m}:{tenant_id}", "messages")
        replies = await self._call(pipeline.execute()) if tenants else []
        return {tenant_id: int(used or 0) for tenant_id, used in zip(tenants, replies, strict=True)}

    async def is_crossing_published(self, crossing: str) -> bool:
        """Whether a crossed threshold was marked as published."""
        return bool(await self._call(self._redis.exists(f"meter:crossed:{crossing}")))

    async def mark_crossing_published(self, crossing: str) -> None:
        """Mark a crossed threshold as published."""
        await self._call(self._redis.set(f"meter:crossed:{crossing}", 1, ex=CROSSING_TTL_S))

    async def live_counters(self, tenant_id: str, hours: Sequence[datetime]) -> LiveCounters:
        """The counters of `hours` and of the day of the last one; one round trip."""
        today = hour_bucket(hours[-1]).day
        daily = f"stats:d:{today}:{tenant_id}"
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(daily)
        for bucket in map(hour_bucket, hours):
            pipeline.hgetall(f"stats:h:{bucket.day}:{bucket.hour}:{tenant_id}")
        for kind in ("client", "channel"):
            member = f"{daily}:{kind}"
            pipeline.sort(
                f"active:d:{today}:{tenant_id}:{kind}s",
                by=f"{member}:*->messages",
                start=0,
                num=MAX_LISTED,
                desc=True,
                get=["#", *(f"{member}:*->{field}" for field in _TRAFFIC_FIELDS)],
                groups=True,
            )
            pipeline.hgetall(f"{member}:{OTHER}")
        replies = await self._call(pipeline.execute())
        clients, other_clients, channels, other_channels = replies[-4:]
        return LiveCounters(
            today=_amounts(replies[0]),
            hours=[_amounts(raw) for raw in replies[1:-4]],
            clients=_by_id(clients, other_clients),
            channels=_by_id(channels, other_channels),
        )

    async def _run(self, script: str, key: str, *args: str) -> Any:
        return await self._call(self._scripts[script](keys=[key], args=args))

    async def _call(self, reply: Any) -> Any:
        try:
            return await reply
        except UNAVAILABLE_ERRORS as error:
            raise StoreUnavailable("Redis did not answer") from error


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _amounts(raw: dict[str, str]) -> Amounts:
    # Negative for a short time if an ingest message is subtracted before its connection's totals are added.
    return {field: max(0, int(raw.get(field, 0))) for field in FIELDS}


def _by_id(rows: list[tuple[str, ...]], other: dict[str, str]) -> dict[str, Amounts]:
    amounts = {
        member_id: _amounts({f: v for f, v in zip(_TRAFFIC_FIELDS, values, strict=True) if v})
        for member_id, *values in rows
    }
    if other:
        amounts[OTHER] = _amounts(other)
    return amounts
