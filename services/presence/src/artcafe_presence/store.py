"""The live state in Redis and the connection table in DynamoDB: the only code that accesses either.

Each change of the live state is one Lua script, so it is atomic, and each is idempotent.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any, Self

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from ulid import ULID

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.clock import now
from artcafe_common.contracts.presence import Transport
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.redis_client import UNAVAILABLE_ERRORS
from artcafe_common.storage.table import Table
from artcafe_presence.records import (
    ConnectionReport,
    ExpiryResult,
    OpenConnection,
    OutboxEntry,
    PresenceSnapshot,
    RowChange,
    from_ms,
    to_ms,
)
from artcafe_presence.settings import Settings
from artcafe_presence.tables import CONNECTIONS, TABLES, ConnectionRow

CHUNK = 500
ROW_TTL_S = 24 * 3600
LEASE_MS = 3000
RESERVATION_MS = 30_000
# A longer gap between deadline checks, in check intervals, means that no instance was running.
MAX_CHECK_GAP = 1.5
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


class Store:
    """The connection table; methods raise StoreUnavailable when Redis or DynamoDB does not answer."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._rows = Table(database, CONNECTIONS)
        self._timeout_ms = int(settings.heartbeat_timeout_s * 1000)
        self._gateway_grace_ms = int(settings.gateway_grace_s * 1000)
        self._max_check_gap_ms = int(MAX_CHECK_GAP * settings.deadline_check_s * 1000)
        self._lease_token = secrets.token_hex(8)
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
        # Set when entries were added to an outbox.
        self.outbox_ready = {"transitions": asyncio.Event(), "rows": asyncio.Event()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def check_redis(self) -> None:
        """Raise StoreUnavailable unless Redis answers."""
        await self._call(self._redis.ping())

    async def check_dynamodb(self) -> None:
        """Raise StoreUnavailable unless the table exists."""
        await self._database.check_tables(TABLES)

    # -- the live state ----------------------------------------------------------------------

    async def open_connections(self, connections: Sequence[OpenConnection]) -> None:
        """Add open connections; those already stored are not changed."""
        for chunk in _chunks(connections):
            body = msgspec.json.encode(chunk).decode()
            self._notify_relays(
                await self._run("open_connections", self._timeout_ms, self._gateway_grace_ms, body)
            )

    async def close_connection(self, connection_id: str, reason: str) -> None:
        """Close a connection; an open event that arrives later does not reopen it."""
        self._notify_relays(await self._run("close_connection", connection_id, reason))

    async def apply_reports(self, reports: Sequence[ConnectionReport]) -> int:
        """Apply reports of clients; returns how many came from a nats-server that is not known yet."""
        unknown = 0
        for chunk in _chunks(reports):
            body = msgspec.json.encode(chunk).decode()
            emitted, from_unknown = await self._run("apply_reports", self._timeout_ms, body)
            self._notify_relays(emitted)
            unknown += from_unknown
        return unknown

    async def extend_gateway_deadline(self, instance: str, timeout_s: float) -> None:
        """Extend the deadline of a gateway process."""
        await self._run("extend_gateway_deadline", instance, int(timeout_s * 1000))

    async def expire_overdue(self) -> ExpiryResult:
        """Close overdue connections; deadlines are extended by the time in which no instance called this."""
        emitted, more_due, state_lost = await self._run(
            "expire_overdue", self._max_check_gap_ms, self._timeout_ms, self._gateway_grace_ms, CHUNK
        )
        self._notify_relays(emitted)
        return ExpiryResult(more_due=bool(more_due), state_lost=bool(state_lost))

    async def renew_ttls(self) -> bool:
        """Renew the expiry of some long-lived connections; returns whether more are due."""
        emitted, more_due = await self._run("renew_ttls", CHUNK)
        self._notify_relays(emitted)
        return bool(more_due)

    async def read_clients(self, tenant_id: str, client_ids: Sequence[str]) -> PresenceSnapshot:
        """The states of a tenant's clients; with connections, metrics and metadata if only one is requested."""
        return msgspec.json.decode(
            await self._run("read_clients", tenant_id, *client_ids), type=PresenceSnapshot
        )

    async def count_connections(self, tenant_id: str) -> int:
        """The number of a tenant's live connections."""
        return int(await self._call(self._redis.scard(f"presence:tenant:{tenant_id}")))

    async def reserve_connection(self, tenant_id: str, connection_id: str, limit: int) -> bool:
        """Reserve a slot for a connection that is about to open; False when the limit is reached."""
        return bool(await self._run("reserve_connection", tenant_id, connection_id, limit, RESERVATION_MS))

    # -- direct NATS connections -------------------------------------------------------------

    async def clock_ms(self) -> int:
        """The time of Redis's clock, in Unix milliseconds."""
        seconds, microseconds = await self._call(self._redis.time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def record_server_id(self, name: str, server_id: str) -> None:
        """Store the current id of a nats-server."""
        await self._call(self._redis.hset("presence:servers", name, server_id))

    async def nats_connection_ids(self) -> dict[str, set[str]]:
        """The ids of the stored NATS connections, by server id."""
        server_ids = await self._call(self._redis.smembers("presence:brokers"))
        return {
            server_id: await self._call(self._redis.smembers(f"presence:holder:{server_id}"))
            for server_id in server_ids
        }

    async def close_unlisted(self, listed_at: int, connection_ids: Sequence[str]) -> None:
        """Close connections missing from a list that was requested at `listed_at`; newer ones stay open."""
        for chunk in _chunks(connection_ids):
            self._notify_relays(await self._run("close_unlisted", listed_at, *chunk))

    async def remove_server(self, server_id: str) -> None:
        """Remove a nats-server that has ended and has no stored connections."""
        await self._call(self._redis.srem("presence:brokers", server_id))

    # -- the table in DynamoDB ---------------------------------------------------------------

    async def write_rows(self, changes: Sequence[RowChange]) -> None:
        """Apply row changes to the table.

        Connection ids are generated by the platform and never reused, so no write needs a condition.
        """
        latest = {change.connection_id: change for change in changes}
        await self._database.batch_write(
            [
                self._rows.build_put(_to_row(change))
                if change.live
                else self._rows.build_delete(change.connection_id)
                for change in latest.values()
            ]
        )

    async def restore_from_table(self) -> int:
        """Restore the WebSocket connections of a lost live state; returns their number.

        Direct NATS connections are restored from the broker's lists.
        """
        rows = [
            row
            for row in await self._rows.scan()
            if row.transport is Transport.WEBSOCKET and row.expires_at > now().timestamp()
        ]
        await self.open_connections(
            [
                OpenConnection(
                    id=row.connection_id,
                    tenant=row.tenant_id,
                    client=row.client_id,
                    account=row.account,
                    transport=row.transport,
                    server=row.server,
                    holder=row.instance,
                    connected_at=to_ms(row.connected_at),
                    ip=row.ip,
                    kind=row.kind,
                )
                for row in rows
            ]
        )
        await self._call(self._redis.set("presence:restored", "1"))
        return len(rows)

    # -- the outboxes ------------------------------------------------------------------------

    async def claim_entries(self, outbox: str, limit: int) -> list[OutboxEntry]:
        """Acquire the outbox's lease and read its oldest entries; empty when another instance has the lease."""
        entries = await self._run("claim_entries", outbox, self._lease_token, LEASE_MS, limit)
        return [_to_entry(entry_id, fields[1]) for entry_id, fields in entries]

    async def delete_entries(self, outbox: str, entry_ids: Sequence[str]) -> None:
        """Delete entries that were sent."""
        if entry_ids:
            await self._call(self._redis.xdel(f"presence:outbox:{outbox}", *entry_ids))

    async def renew_lease(self, outbox: str) -> None:
        """Renew this instance's lease of an outbox."""
        await self._run("lease", outbox, self._lease_token, LEASE_MS)

    async def release_lease(self, outbox: str) -> None:
        """Release this instance's lease of an outbox."""
        await self._run("lease", outbox, self._lease_token, 0)

    # -- Redis -------------------------------------------------------------------------------

    async def _run(self, script: str, *arguments: str | int) -> Any:
        return await self._call(self._scripts[script](args=list(arguments)))

    async def _call(self, reply: Any) -> Any:
        try:
            return await reply
        except UNAVAILABLE_ERRORS as error:
            raise StoreUnavailable("Redis did not answer") from error

    def _notify_relays(self, emitted: int) -> None:
        if emitted:
            for ready in self.outbox_ready.values():
                ready.set()


def _to_entry(entry_id: str, data: str) -> OutboxEntry:
    at, number = (int(part) for part in entry_id.split("-"))
    # The same entry gives the same ULID, so that JetStream drops an event published twice.
    event_id = str(ULID.from_bytes(at.to_bytes(6) + hashlib.sha256(entry_id.encode()).digest()[:10]))
    # The sequence number becomes microseconds, so that times sort entries of one millisecond.
    written_at = from_ms(at) + timedelta(microseconds=min(number, 999))
    return OutboxEntry(id=entry_id, event_id=event_id, at=written_at, data=data)


def _to_row(change: RowChange) -> ConnectionRow:
    return ConnectionRow(
        connection_id=change.connection_id,
        tenant_id=change.tenant_id,
        client_id=change.client_id,
        account=change.account,
        transport=change.transport,
        server=change.server,
        instance=change.instance,
        connected_at=from_ms(change.connected_at),
        ip=change.ip,
        kind=change.kind,
        expires_at=int(now().timestamp()) + ROW_TTL_S,
    )


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
