"""The live state in Redis and its copy in DynamoDB: the only code that speaks to either.

Every change of the live state is one Lua script, and thereby atomic; each can be repeated.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any, Self

import msgspec
import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from ulid import ULID

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.clock import now
from artcafe_common.contracts.presence import Transport
from artcafe_common.storage.dynamo import Database
from artcafe_presence.records import Entry, Opened, Report, RowChange, Seen, Tick, milliseconds, moment
from artcafe_presence.settings import PresenceSettings
from artcafe_presence.tables import CONNECTIONS, TABLES, ConnectionRow

CHUNK = 500
ROW_TTL_S = 24 * 3600
SENDER_MS = 3000
RESERVED_MS = 30_000
# A gap of this many rounds of looking at deadlines means that nobody listened.
BLIND_ROUNDS = 1.5
_SCRIPTS = (
    "open_connections",
    "close_connection",
    "close_unlisted",
    "apply_reports",
    "expire_overdue",
    "extend_gateway_deadline",
    "renew_ttls",
    "read_clients",
    "claim_entries",
    "lease",
    "reserve_connection",
)

_UNAVAILABLE = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    OSError,
)


class Store:
    """The connection table. StoreUnavailable from any method when Redis or DynamoDB do not answer."""

    def __init__(self, database: Database, settings: PresenceSettings) -> None:
        self._database = database
        self._all_rows = database.table(CONNECTIONS)
        self._timeout_ms = int(settings.heartbeat_timeout_s * 1000)
        self._gateway_grace_ms = int(settings.gateway_grace_s * 1000)
        self._blind_ms = int(BLIND_ROUNDS * settings.deadline_check_s * 1000)
        self._token = secrets.token_hex(8)
        self._redis = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                settings.redis_url,
                max_connections=32,
                timeout=3,
                socket_timeout=3,
                socket_connect_timeout=2,
                health_check_interval=30,
                decode_responses=True,
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
            )
        )
        lua = files("artcafe_presence") / "lua"
        common = (lua / "common.lua").read_text()
        self._scripts = {
            name: self._redis.register_script(common + (lua / f"{name}.lua").read_text()) for name in _SCRIPTS
        }
        # Set when something waits in an outbox.
        self.emitted = {"transitions": asyncio.Event(), "rows": asyncio.Event()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def check_redis(self) -> None:
        """StoreUnavailable unless Redis answers."""
        await self._call(self._redis.ping())

    async def check_dynamodb(self) -> None:
        """StoreUnavailable unless the table is there."""
        await self._database.check(TABLES)

    # -- the live state ----------------------------------------------------------------------

    async def open(self, connections: Sequence[Opened]) -> None:
        """Connections that exist; what is known of them already stays."""
        for some in _chunks(connections):
            body = msgspec.json.encode(some).decode()
            self._emitted(await self._run("open_connections", self._timeout_ms, self._gateway_grace_ms, body))

    async def close(self, connection_id: str, reason: str) -> None:
        """A connection that ended; it cannot be opened any more, in whichever order the news come."""
        self._emitted(await self._run("close_connection", connection_id, reason))

    async def touch(self, reports: Sequence[Report]) -> int:
        """Apply what clients say of themselves; how many came from a broker that is not known yet."""
        unknown = 0
        for some in _chunks(reports):
            body = msgspec.json.encode(some).decode()
            emitted, strangers = await self._run("apply_reports", self._timeout_ms, body)
            self._emitted(emitted)
            unknown += strangers
        return unknown

    async def gateway_alive(self, instance: str, timeout_s: float) -> None:
        """Put off the deadline of a gateway process."""
        await self._run("extend_gateway_deadline", instance, int(timeout_s * 1000))

    async def tick(self) -> Tick:
        """End what time has ended; a time in which no instance called this does not count."""
        emitted, more, lost = await self._run(
            "expire_overdue", self._blind_ms, self._timeout_ms, self._gateway_grace_ms, CHUNK
        )
        self._emitted(emitted)
        return Tick(more=bool(more), lost=bool(lost))

    async def renew(self) -> bool:
        """Lengthen the life of some lasting connections; whether more are due."""
        emitted, more = await self._run("renew_ttls", CHUNK)
        self._emitted(emitted)
        return bool(more)

    async def read(self, tenant_id: str, client_ids: Sequence[str]) -> Seen:
        """What is known of a tenant's clients; details only when one is asked for."""
        return msgspec.json.decode(await self._run("read_clients", tenant_id, *client_ids), type=Seen)

    async def count(self, tenant_id: str) -> int:
        """How many live connections a tenant has."""
        return int(await self._call(self._redis.scard(f"presence:tenant:{tenant_id}")))

    async def reserve(self, tenant_id: str, connection_id: str, limit: int) -> bool:
        """Hold a place for a connection that is about to open; False when the tenant has none left."""
        return bool(await self._run("reserve_connection", tenant_id, connection_id, limit, RESERVED_MS))

    # -- what the broker lists ---------------------------------------------------------------

    async def clock(self) -> int:
        """Redis's time."""
        seconds, microseconds = await self._call(self._redis.time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def learn_server(self, name: str, server_id: str) -> None:
        """Remember the present id of a nats-server."""
        await self._call(self._redis.hset("presence:servers", name, server_id))

    async def broker_connections(self) -> dict[str, set[str]]:
        """The ids of the known NATS connections, by the id of their server."""
        holders = await self._call(self._redis.smembers("presence:brokers"))
        return {
            holder: await self._call(self._redis.smembers(f"presence:holder:{holder}")) for holder in holders
        }

    async def vanish(self, listed_at: int, connection_ids: Sequence[str]) -> None:
        """Close what a listing that began at `listed_at` did not have, unless it is newer than that."""
        for some in _chunks(connection_ids):
            self._emitted(await self._run("close_unlisted", listed_at, *some))

    async def forget_broker(self, server_id: str) -> None:
        """No nats-server has this id any more, and no connection is left of it."""
        await self._call(self._redis.srem("presence:brokers", server_id))

    # -- the copy in DynamoDB ----------------------------------------------------------------

    async def write_rows(self, changes: Sequence[RowChange]) -> None:
        """Bring the table to what the live state was when `changes` were written down.

        Their ids are the platform's own and never used twice, so no write needs a condition.
        """
        last = {change.connection_id: change for change in changes}
        await self._database.batch_write(
            [
                self._all_rows.build_put(_row(change))
                if change.live
                else self._all_rows.build_delete(change.connection_id)
                for change in last.values()
            ]
        )

    async def restore(self) -> int:
        """Make the live state from the table, after Redis lost it; how many WebSockets there were.

        Direct NATS connections are the broker's to tell.
        """
        alive = [
            row
            for row in await self._all_rows.scan()
            if row.transport is Transport.WEBSOCKET and row.expires_at > now().timestamp()
        ]
        await self.open(
            [
                Opened(
                    id=row.connection_id,
                    tenant=row.tenant_id,
                    client=row.client_id,
                    account=row.account,
                    transport=row.transport,
                    server=row.server,
                    holder=row.instance,
                    connected_at=milliseconds(row.connected_at),
                    ip=row.ip,
                    kind=row.kind,
                )
                for row in alive
            ]
        )
        await self._call(self._redis.set("presence:restored", "1"))
        return len(alive)

    # -- the outboxes ------------------------------------------------------------------------

    async def claim(self, outbox: str, limit: int) -> list[Entry]:
        """The oldest entries, if no other instance is sending them; they stay until `sent`."""
        entries = await self._run("claim_entries", outbox, self._token, SENDER_MS, limit)
        return [_entry(entry_id, fields[1]) for entry_id, fields in entries]

    async def sent(self, outbox: str, entry_ids: Sequence[str]) -> None:
        """Remove entries that were sent."""
        if entry_ids:
            await self._call(self._redis.xdel(f"presence:outbox:{outbox}", *entry_ids))

    async def hold(self, outbox: str, *, release: bool = False) -> None:
        """Stay the one that sends from an outbox, or leave it to others."""
        await self._run("lease", outbox, self._token, 0 if release else SENDER_MS)

    # -- Redis -------------------------------------------------------------------------------

    async def _run(self, script: str, *arguments: str | int) -> Any:
        return await self._call(self._scripts[script](args=list(arguments)))

    async def _call(self, answer: Any) -> Any:
        try:
            return await answer
        except _UNAVAILABLE as error:
            raise StoreUnavailable("Redis did not answer") from error

    def _emitted(self, count: int) -> None:
        if count:
            for event in self.emitted.values():
                event.set()


def _entry(entry_id: str, data: str) -> Entry:
    at, number = (int(part) for part in entry_id.split("-"))
    # The same entry gives the same ULID, so that the broker knows an event that is announced twice.
    event_id = str(ULID.from_bytes(at.to_bytes(6) + hashlib.sha256(entry_id.encode()).digest()[:10]))
    # Entries of one millisecond are told apart, so that whoever compares times sees their order.
    written_at = moment(at) + timedelta(microseconds=min(number, 999))
    return Entry(id=entry_id, event_id=event_id, at=written_at, data=data)


def _row(change: RowChange) -> ConnectionRow:
    return ConnectionRow(
        connection_id=change.connection_id,
        tenant_id=change.tenant_id,
        client_id=change.client_id,
        account=change.account,
        transport=change.transport,
        server=change.server,
        instance=change.instance,
        connected_at=moment(change.connected_at),
        ip=change.ip,
        kind=change.kind,
        expires_at=int(now().timestamp()) + ROW_TTL_S,
    )


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
