"""The live state in Redis and the connection table in DynamoDB: the only code that accesses either.

Each change of the live state is one Lua script, so it is atomic, and each is idempotent.
"""

import asyncio
import hashlib
import secrets
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any, Self

import msgspec
from ulid import ULID

from artcafe_common.clock import now
from artcafe_common.contracts.presence import Transport
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.redis_client import RedisClient
from artcafe_common.storage.table import Table
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_presence.records import (
    ClosedConnection,
    ConnectionReport,
    ExpiryResult,
    OnlineSnapshot,
    OpenConnection,
    OutboxEntry,
    PresenceSnapshot,
    RowChange,
    StoredConnection,
    TenantConnection,
    from_ms,
    to_ms,
)
from artcafe_presence.settings import Settings
from artcafe_presence.tables import CONNECTIONS, TABLES, ConnectionRow

CHUNK = 500
# A script changes up to CHUNK connections.
REDIS_TIMEOUT_S = 3.0
ROW_TTL_S = 24 * 3600
LEASE_MS = 3000
RESERVATION_MS = 30_000
# The broker reports a connection at once.
NATS_RESERVATION_MS = 5_000
# A longer gap between deadline checks, in check intervals, means that no instance was running.
MAX_CHECK_GAP = 1.5
_SCRIPTS = (
    "open_connections",
    "close_connections",
    "close_unlisted",
    "apply_reports",
    "expire_overdue",
    "extend_gateway_deadline",
    "renew_ttls",
    "read_clients",
    "list_online",
    "claim_entries",
    "lease",
    "reserve_connection",
    "list_connections",
)


class Store:
    """The connection table; methods raise StoreUnavailable when Redis or DynamoDB does not answer."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._rows = Table(database, CONNECTIONS)
        self._tenant_rows = TenantTable(database, CONNECTIONS)
        self._timeout_ms = int(settings.heartbeat_timeout_s * 1000)
        self._gateway_grace_ms = int(settings.gateway_grace_s * 1000)
        self._max_check_gap_ms = int(MAX_CHECK_GAP * settings.deadline_check_s * 1000)
        self._lease_token = secrets.token_hex(8)
        self._redis = RedisClient(
            settings.redis_url, timeout_s=REDIS_TIMEOUT_S, decode=True, ca_file=settings.ca_file
        )
        lua = files("artcafe_presence") / "lua"
        common = (lua / "common.lua").read_text()
        self._scripts = {
            name: self._redis.script(common + (lua / f"{name}.lua").read_text(), name) for name in _SCRIPTS
        }
        # Tenants with connections that were opened since the last check of their number.
        self.changed_tenants: set[str] = set()
        self.redis_statistics = self._redis.statistics
        # Set when entries were added to an outbox.
        self.outbox_ready = {"transitions": asyncio.Event(), "rows": asyncio.Event()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._redis.close()

    async def check_redis(self) -> None:
        """Raise StoreUnavailable unless Redis accepts a write."""
        await self._redis.check()

    async def check_dynamodb(self) -> None:
        """Raise StoreUnavailable unless the table exists."""
        await self._database.check_tables(TABLES)

    # -- the live state ----------------------------------------------------------------------

    async def open_connections(self, connections: Sequence[OpenConnection]) -> None:
        """Add open connections; those already stored are not changed."""
        for chunk in _chunks(connections):
            body = msgspec.json.encode(chunk).decode()
            self.changed_tenants.update(connection.tenant for connection in chunk)
            self._notify_relays(
                await self._run("open_connections", self._timeout_ms, self._gateway_grace_ms, body)
            )

    async def close_connections(self, connections: Sequence[ClosedConnection]) -> None:
        """Close connections; an open event that arrives later does not reopen them."""
        for chunk in _chunks(connections):
            body = msgspec.json.encode(chunk).decode()
            self._notify_relays(await self._run("close_connections", body))

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

    async def read_clients(
        self, tenant_id: str, client_ids: Sequence[str], *, announced: bool = False
    ) -> PresenceSnapshot:
        """The states of a tenant's clients; with connections and reports if only one is requested.

        With `announced`, all have what they announced of themselves: metadata and capabilities.
        """
        return msgspec.json.decode(
            await self._run("read_clients", tenant_id, int(announced), *client_ids, wait_for_recovery=False),
            type=PresenceSnapshot,
        )

    async def list_online(self, tenant_id: str, limit: int) -> OnlineSnapshot:
        """The clients of a tenant that are online, if it has at most `limit` live connections."""
        return msgspec.json.decode(
            await self._run("list_online", tenant_id, limit, wait_for_recovery=False), type=OnlineSnapshot
        )

    async def count_connections_of(self, tenant_ids: Sequence[str]) -> dict[str, int]:
        """The numbers of live connections of tenants."""
        pipeline = self._redis.pipeline()
        for tenant_id in tenant_ids:
            pipeline.scard(f"presence:tenant:{tenant_id}")
        return dict(zip(tenant_ids, await self._call(lambda _client: pipeline.execute()), strict=True))

    async def list_connections_of(self, tenant_id: str) -> list[TenantConnection]:
        """A tenant's live connections."""
        return msgspec.json.decode(
            await self._run("list_connections", tenant_id), type=list[TenantConnection]
        )

    async def list_connection_page(
        self, tenant_id: str, client_id: str | None, after: str | None, limit: int
    ) -> tuple[dict[str, StoredConnection], str | None]:
        """Live connections of a tenant or of its client after an id, by id; and the last id if there are more."""
        key = f"presence:tenant:{tenant_id}" if client_id is None else f"presence:live:{client_id}"
        ids = sorted(await self._call(lambda client: client.smembers(key)))
        start = 0 if after is None else bisect_right(ids, after)
        page = ids[start : start + limit]
        found = await self.find_connections(tenant_id, page)
        return found, page[-1] if len(ids) > start + limit else None

    async def find_connections(
        self, tenant_id: str, connection_ids: Sequence[str]
    ) -> dict[str, StoredConnection]:
        """Those of the connections that are a tenant's and live, by id."""
        if not connection_ids:
            return {}
        pipeline = self._redis.pipeline()
        for connection_id in connection_ids:
            pipeline.sismember(f"presence:tenant:{tenant_id}", connection_id)
            pipeline.hgetall(f"presence:connection:{connection_id}")
        replies = await self._call(lambda _client: pipeline.execute())
        found: dict[str, StoredConnection] = {}
        for connection_id, live, fields in zip(connection_ids, replies[::2], replies[1::2], strict=True):
            if live and fields.get("tenant") == tenant_id:
                found[connection_id] = msgspec.convert(fields, StoredConnection, strict=False)
        return found

    async def reserve_connection(self, tenant_id: str, connection_id: str, limit: int) -> bool:
        """Reserve a slot for a connection that is about to open; False when the limit is reached."""
        is_nats = connection_id.startswith("nats:")
        duration = NATS_RESERVATION_MS if is_nats else RESERVATION_MS
        return bool(
            await self._run(
                "reserve_connection", tenant_id, connection_id, limit, duration, wait_for_recovery=False
            )
        )

    # -- deleted organizations ---------------------------------------------------------------

    async def delete_tenant(self, tenant_id: str) -> None:
        """Remove everything of a tenant. Idempotent."""
        prefix = "presence:connection:"
        async for keys in self._redis.scan_hashes(f"{prefix}*", "tenant", tenant_id):
            ids = [key.removeprefix(prefix) for key in keys]
            await self.close_connections(
                [ClosedConnection(id=each, tenant=tenant_id, reason="deleted") for each in ids]
            )
        prefix = "presence:client:"
        async for keys in self._redis.scan_hashes(f"{prefix}*", "tenant", tenant_id):
            ids = [key.removeprefix(prefix) for key in keys]
            await self._redis.unlink(*keys, *(f"presence:live:{each}" for each in ids))
        await self._redis.unlink(f"presence:tenant:{tenant_id}", f"presence:reserved:{tenant_id}")
        await self._tenant_rows.delete_all(tenant_id)

    # -- direct NATS connections -------------------------------------------------------------

    async def clock_ms(self) -> int:
        """The time of Redis's clock, in Unix milliseconds."""
        return int(await self._redis.time() * 1000)

    async def record_server_id(self, name: str, server_id: str) -> None:
        """Store the current id of a nats-server."""
        await self._call(lambda client: client.hset("presence:servers", name, server_id))

    async def nats_connection_ids(self) -> dict[str, set[str]]:
        """The ids of the stored NATS connections, by server id."""
        server_ids = await self._call(lambda client: client.smembers("presence:brokers"))
        pipeline = self._redis.pipeline()
        for server_id in server_ids:
            pipeline.smembers(f"presence:holder:{server_id}")
        stored = await self._call(lambda _client: pipeline.execute())
        return dict(zip(server_ids, stored, strict=True))

    async def close_unlisted(self, listed_at: int, connection_ids: Sequence[str]) -> None:
        """Close connections missing from a list that was requested at `listed_at`; newer ones stay open."""
        for chunk in _chunks(connection_ids):
            self._notify_relays(await self._run("close_unlisted", listed_at, *chunk))

    async def remove_server(self, server_id: str) -> None:
        """Remove a nats-server that has ended and has no stored connections."""
        await self._call(lambda client: client.srem("presence:brokers", server_id))

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
        await self._call(lambda client: client.set("presence:restored", "1"))
        return len(rows)

    # -- the outboxes ------------------------------------------------------------------------

    async def claim_entries(self, outbox: str, limit: int) -> list[OutboxEntry]:
        """Acquire the outbox's lease and read its oldest entries; empty when another instance has the lease."""
        entries = await self._run("claim_entries", outbox, self._lease_token, LEASE_MS, limit)
        return [_to_entry(entry_id, fields[1]) for entry_id, fields in entries]

    async def delete_entries(self, outbox: str, entry_ids: Sequence[str]) -> None:
        """Delete entries that were sent."""
        if entry_ids:
            await self._call(lambda client: client.xdel(f"presence:outbox:{outbox}", *entry_ids))

    async def renew_lease(self, outbox: str) -> None:
        """Renew this instance's lease of an outbox."""
        await self._run("lease", outbox, self._lease_token, LEASE_MS)

    async def release_lease(self, outbox: str) -> None:
        """Release this instance's lease of an outbox."""
        await self._run("lease", outbox, self._lease_token, 0)

    # -- Redis -------------------------------------------------------------------------------

    async def _run(self, script: str, *arguments: str | int, wait_for_recovery: bool = True) -> Any:
        return await self._scripts[script].run([], arguments, wait_for_recovery=wait_for_recovery)

    async def _call(self, command: Callable[[Any], Awaitable[Any]]) -> Any:
        return await self._redis.execute(command, operation="other")

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
