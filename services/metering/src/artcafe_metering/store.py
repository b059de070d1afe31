"""All that metering keeps: live counters in Redis, daily totals in DynamoDB."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from importlib.resources import files
from typing import Any, cast

import msgspec
import redis.exceptions
from boto3.dynamodb.conditions import Attr, Key
from redis.asyncio import Redis

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.metering import BridgeReport, UsageEntry
from artcafe_common.storage.dynamo import ConditionFailed, Database
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_metering.connections import Seen, connection_key
from artcafe_metering.ingest import Ingested
from artcafe_metering.owners import Owner
from artcafe_metering.periods import day_key, stamp
from artcafe_metering.tables import TABLES, TOTALS, USAGE_METRICS, DayItem

CONNECT_TIMEOUT_S = 2
ANSWER_TIMEOUT_S = 3
ENDED_BRIDGES = "meter:ended"
# Connections that one script handles, so that none holds Redis for long.
AT_ONCE = 500
LISTED = 1000
CROSSED_KEPT_S = 40 * 24 * 3600
OTHER = "other"
FIELDS = ("messages", "deliveries", "bytes_in", "bytes_out", "api_calls", "connection_seconds")
_MEMBER_FIELDS = FIELDS[:4]

Script = Callable[..., Awaitable[Any]]
# What was counted, by field; a field is absent or 0 where nothing was.
Amounts = dict[str, int]


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """Today's counters of a tenant, of its hours, and of its busiest clients and channels by id."""

    today: Amounts
    hours: list[Amounts]
    clients: dict[str, Amounts]
    channels: dict[str, Amounts]


@asynccontextmanager
async def counters(url: str) -> AsyncIterator["Counters"]:
    """The counters in the Redis at `url`, which need not be there yet."""
    client = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=ANSWER_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
    )
    try:
        yield Counters(client)
    finally:
        await client.aclose()


class Counters:
    """The live counters; every change is one script, so it happens whole and once."""

    def __init__(self, client: "Redis") -> None:
        self._redis = client
        # Tenants for whom something was counted; whoever looks at them takes them out.
        self.touched: set[str] = set()
        folder = files("artcafe_metering") / "lua"
        shared = (folder / "common.lua").read_text()

        def script(name: str) -> Script:
            return cast(Script, client.register_script(shared + (folder / f"{name}.lua").read_text()))

        self._batch, self._broker, self._settle = (
            script("apply_gateway_batch"),
            script("apply_broker_totals"),
            script("count_unreported"),
        )

    async def check(self) -> None:
        """StoreUnavailable unless Redis answers."""
        with _reaching_redis():
            await self._redis.ping()

    async def apply_batch(
        self, event_id: str, at: datetime, entries: Sequence[UsageEntry], bridges: Sequence[BridgeReport]
    ) -> bool:
        """Count a gateway's batch; False when it was counted before."""
        when = stamp(at)
        rows = [
            (e.tenant_id, e.client_id, e.channel_id, [getattr(e, field) for field in FIELDS]) for e in entries
        ]
        reports = [(connection_key(b.server, b.cid), b.tenant_id, b.messages, b.bytes_in) for b in bridges]
        with _reaching_redis():
            applied = await self._batch(
                keys=[f"meter:batch:{event_id}"], args=[when.day, when.hour, _json(rows), _json(reports)]
            )
        self.touched.update(e.tenant_id for e in entries if e.messages)
        return bool(applied)

    async def apply_broker(
        self,
        now: datetime,
        seen: Sequence[tuple[Seen, Owner]],
        *,
        stream: str = "",
        ingested: Sequence[Ingested] = (),
    ) -> None:
        """Count by how much connections grew, less the messages for the platform among that.

        Totals are absolute and messages have sequences in their `stream`: both can be given
        again, in any order, by any instance.
        """
        rows = [one.row(owner.client_id, bridge=owner.bridge, now=now) for one, owner in seen]
        messages = [(one.sequence, one.tenant_id, one.client_id, one.size) for one in ingested]
        when = stamp(now)
        for start in range(0, max(len(rows), 1), AT_ONCE):
            last = start + AT_ONCE >= len(rows)
            with _reaching_redis():
                await self._broker(
                    keys=[ENDED_BRIDGES, f"meter:ingest:{stream}"],
                    args=[
                        when.day,
                        when.hour,
                        _json(rows[start : start + AT_ONCE]),
                        _json(messages if last else []),
                    ],
                )

        self.touched.update(one.tenant_id for one, _owner in seen)

    async def ended_bridges(self, before: datetime) -> list[str]:
        """Some of the gateways' connections that ended before a moment and are not settled yet."""
        with _reaching_redis():
            found = await self._redis.zrangebyscore(
                ENDED_BRIDGES, "-inf", before.timestamp() * 1000, start=0, num=AT_ONCE
            )
        return cast(list[str], found)

    async def settle(self, now: datetime, bridges: Sequence[str]) -> None:
        """Count what these connections took in that no report tells of."""
        when = stamp(now)
        with _reaching_redis():
            await self._settle(keys=[ENDED_BRIDGES], args=[when.day, when.hour, _json(bridges)])

    async def tenants_of(self, day: date) -> list[str]:
        """Every tenant that something was counted for on a day."""
        with _reaching_redis():
            return sorted(
                await cast(Awaitable[set[str]], self._redis.smembers(f"meter:tenants:{day_key(day)}"))
            )

    async def days(self, wanted: Sequence[tuple[str, date]]) -> list[DayItem]:
        """The totals of tenants' days, in the order given, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for tenant_id, day in wanted:
            key = day_key(day)
            pipeline.hgetall(f"stats:d:{key}:{tenant_id}")
            pipeline.scard(f"active:d:{key}:{tenant_id}:clients")
            pipeline.scard(f"active:d:{key}:{tenant_id}:channels")
        with _reaching_redis():
            answers = await pipeline.execute()
        return [
            DayItem(
                id=f"{tenant_id}#{day}",
                tenant_id=tenant_id,
                date=str(day),
                active_clients=answers[3 * n + 1],
                active_channels=answers[3 * n + 2],
                **_amounts(answers[3 * n]),
            )
            for n, (tenant_id, day) in enumerate(wanted)
        ]

    async def month(self, tenant_id: str, first: date) -> Amounts:
        """The totals of a tenant's calendar month."""
        with _reaching_redis():
            key = f"stats:m:{first:%Y%m}:{tenant_id}"
            return _amounts(await cast(Awaitable[dict[str, str]], self._redis.hgetall(key)))

    async def messages_of(self, tenants: Sequence[str], first: date) -> dict[str, int]:
        """How many messages each of some tenants published in a calendar month, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for tenant_id in tenants:
            pipeline.hget(f"stats:m:{first:%Y%m}:{tenant_id}", "messages")
        with _reaching_redis():
            answers = await pipeline.execute() if tenants else []
        return {tenant_id: int(used or 0) for tenant_id, used in zip(tenants, answers, strict=True)}

    async def was_announced(self, name: str) -> bool:
        """Whether `remember_announced` was called with this name."""
        with _reaching_redis():
            return bool(await self._redis.exists(f"meter:crossed:{name}"))

    async def remember_announced(self, name: str) -> None:
        """Remember for longer than a month that something was announced."""
        with _reaching_redis():
            await self._redis.set(f"meter:crossed:{name}", 1, ex=CROSSED_KEPT_S)

    async def local(self, tenant_id: str, hours: Sequence[datetime]) -> Local:
        """Today's counters (the day of the last of `hours`), in one round trip."""
        today = stamp(hours[-1]).day
        daily = f"stats:d:{today}:{tenant_id}"
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(daily)
        for each in map(stamp, hours):
            pipeline.hgetall(f"stats:h:{each.day}:{each.hour}:{tenant_id}")
        for kind in ("client", "channel"):
            member = f"{daily}:{kind}"
            pipeline.sort(
                f"active:d:{today}:{tenant_id}:{kind}s",
                by=f"{member}:*->messages",
                start=0,
                num=LISTED,
                desc=True,
                get=["#", *(f"{member}:*->{field}" for field in _MEMBER_FIELDS)],
                groups=True,
            )
            pipeline.hgetall(f"{member}:{OTHER}")
        with _reaching_redis():
            answers = await pipeline.execute()
        clients, other_clients, channels, other_channels = answers[-4:]
        return Local(
            today=_amounts(answers[0]),
            hours=[_amounts(raw) for raw in answers[1:-4]],
            clients=_members(clients, other_clients),
            channels=_members(channels, other_channels),
        )


class Archive:
    """The daily totals that are kept for good."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._days = TenantTable(database, USAGE_METRICS)

    async def check(self) -> None:
        """StoreUnavailable unless the table is there."""
        await self._database.check(TABLES)

    async def raise_to(self, day: DayItem) -> None:
        """Store a day's totals; none is ever lowered, whoever else writes at the same time."""
        if await self._raised(day):
            return
        try:
            await self._days.put(day.tenant_id, day, new=True)
        except ConditionFailed:
            stored = await self._days.get(day.tenant_id, day.id, consistent=True)
            if stored is None:
                raise StoreUnavailable("the day's totals are being written elsewhere") from None
            highest = {name: max(getattr(stored, name), getattr(day, name)) for name in TOTALS}
            if any(getattr(stored, name) != value for name, value in highest.items()):
                await self._raised(msgspec.structs.replace(day, **highest))

    async def _raised(self, day: DayItem) -> bool:
        lower = Attr("id").exists()
        for name in TOTALS:
            lower &= Attr(name).lte(getattr(day, name))
        values = {name: getattr(day, name) for name in TOTALS}
        try:
            await self._days.update(day.tenant_id, day.id, set_=values, condition=lower)
        except ConditionFailed:
            return False
        return True

    async def days(self, tenant_id: str, first: date, last: date) -> list[DayItem]:
        """The stored days of a period, both ends included."""
        page = await self._days.list(
            tenant_id, limit=(last - first).days + 1, range_=Key("date").between(str(first), str(last))
        )
        return page.items


@contextmanager
def _reaching_redis() -> Iterator[None]:
    try:
        yield
    except (
        redis.exceptions.ConnectionError,
        redis.exceptions.TimeoutError,
        redis.exceptions.ReadOnlyError,
        redis.exceptions.OutOfMemoryError,
        OSError,
        TimeoutError,
    ) as error:
        raise StoreUnavailable("Redis did not answer") from error


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _amounts(raw: dict[str, str]) -> Amounts:
    # A message for the platform can be heard of a moment before its connection's counters are.
    return {field: max(0, int(raw.get(field, 0))) for field in FIELDS}


def _members(rows: list[tuple[str, ...]], other: dict[str, str]) -> dict[str, Amounts]:
    found = {
        row[0]: _amounts({f: v for f, v in zip(_MEMBER_FIELDS, row[1:], strict=True) if v}) for row in rows
    }
    if other:
        found[OTHER] = _amounts(other)
    return found
