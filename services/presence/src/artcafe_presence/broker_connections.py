"""Direct NATS connections, from the broker's CONNECT and DISCONNECT events and its connection lists."""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import (
    CONNECT_EVENTS,
    DISCONNECT_EVENTS,
    BrokerConnection,
    ConnectionEvent,
    Server,
    ServerConnections,
    list_connections,
)
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import Transport
from artcafe_presence.records import OpenConnection, nats_connection_id, to_ms
from artcafe_presence.store import Store

QUEUE = "presence"
# After a shutdown of the broker its clients get time to reconnect, there or to another server.
SHUTDOWN = "Server Shutdown"
log = structlog.get_logger()


class BrokerConnectionMonitor:
    """Keeps the NATS connections of the live state equal to the broker's.

    Events report changes at once; reconciliation finds the changes whose events were missed:

        starting    --broker's list opened--------> requested
        requested   --grace_s---------------------> reconciling
        reconciling --done------------------------> idle
        reconciling --failed, or requested again--> requested
        idle        --requested-------------------> requested
        idle        --interval_s------------------> reconciling

    Reconciliation is requested at the start, after a reconnect, a missed event, a shutdown of the
    broker, a report from an unknown server, and a restore of the live state.
    """

    def __init__(
        self,
        system: Nats,
        store: Store,
        *,
        reconcile_requested: asyncio.Event,
        grace_s: float,
        interval_s: float,
    ) -> None:
        self._system = system
        self._store = store
        self._reconcile_requested = reconcile_requested
        self._grace_s = grace_s
        self._interval_s = interval_s
        self._started = False

    async def subscribe(self) -> None:
        """Subscribe to connection events; all instances share them."""
        await self._system.subscribe(CONNECT_EVENTS, queue=QUEUE, cb=self._on_connect)
        await self._system.subscribe(DISCONNECT_EVENTS, queue=QUEUE, cb=self._on_disconnect)

    async def reconcile_when_due(self) -> None:
        """Wait until reconciliation is requested or the interval has passed, then reconcile.

        A request is delayed by the grace period, in which clients can reconnect.
        """
        if not self._started:
            await self.open_listed()
            self._started = True
            self._reconcile_requested.set()
        try:
            async with asyncio.timeout(self._interval_s):
                await self._reconcile_requested.wait()
            self._reconcile_requested.clear()
            await asyncio.sleep(self._grace_s)
        except TimeoutError:
            pass
        try:
            await self.reconcile()
        except CommandError:
            self._reconcile_requested.set()
            raise
        while await self._store.renew_ttls():
            pass

    async def open_listed(self) -> dict[str, set[str]]:
        """Open every client connection that the broker lists; returns their ids by server id."""
        listings = await list_connections(self._system)
        listed: list[OpenConnection] = []
        for listing in listings:
            await self._store.record_server_id(listing.server.name, listing.server.id)
            listed += _client_connections(listing)
        await self._store.open_connections(listed)
        ids: dict[str, set[str]] = {listing.server.id: set() for listing in listings}
        for connection in listed:
            ids[connection.holder].add(connection.id)
        return ids

    async def reconcile(self) -> None:
        """Open the connections that the broker lists, and close those that it no longer lists.

        Nothing is closed while the broker is reconnecting or another reconciliation is requested.
        """
        reconnects = self._system.stats["reconnects"]
        if self._is_stale(reconnects):
            return
        began_at = await self._store.clock_ms()
        missing = await self._find_unlisted()
        if missing:
            # A list of several pages or servers can have gaps, so only twice missing counts.
            missing &= await self._find_unlisted()
        if missing and not self._is_stale(reconnects):
            await self._store.close_unlisted(began_at, sorted(missing))
            log.info("connections_vanished", count=len(missing))

    def _is_stale(self, reconnects: int) -> bool:
        # A list from before a reconnect lacks the clients that are still reconnecting.
        return (
            self._reconcile_requested.is_set()
            or not self._system.is_connected
            or self._system.stats["reconnects"] != reconnects
        )

    async def _find_unlisted(self) -> set[str]:
        listed = await self.open_listed()
        missing: set[str] = set()
        for server_id, stored in (await self._store.nats_connection_ids()).items():
            missing |= stored - listed.get(server_id, set())
            if not stored and server_id not in listed:
                await self._store.remove_server(server_id)
        return missing

    async def _on_connect(self, message: Msg) -> None:
        event = _parse_event(message)
        if event is None or not _is_client(event.client.name_tag, event.client.user):
            return
        client = event.client
        connection = BrokerConnection(
            cid=client.id,
            account=client.acc,
            authorized_user=client.user,
            name_tag=client.name_tag,
            ip=client.host,
            start=client.start,
        )
        try:
            await self._store.open_connections([_to_open_connection(event.server, connection)])
        except CommandError as error:
            self._on_event_missed(error)

    async def _on_disconnect(self, message: Msg) -> None:
        event = _parse_event(message)
        if event is None or not _is_client(event.client.name_tag, event.client.user):
            return
        if event.reason == SHUTDOWN:
            self._reconcile_requested.set()
            return
        connection_id = nats_connection_id(event.server.id, event.client.id)
        try:
            await self._store.close_connection(connection_id, "disconnected")
        except CommandError as error:
            self._on_event_missed(error)

    def _on_event_missed(self, error: CommandError) -> None:
        # Reconciliation finds the change that this event reported.
        log.warning("broker_event_missed", reason=error.detail)
        self._reconcile_requested.set()


def _parse_event(message: Msg) -> ConnectionEvent | None:
    try:
        return msgspec.json.decode(message.data, type=ConnectionEvent)
    except msgspec.DecodeError:
        log.exception("broker_event_invalid", subject=message.subject)
        return None


def _is_client(tenant_id: str, user: str) -> bool:
    """False for gateways' bridges, whose user is a public key, and for the platform's accounts."""
    return bool(ULID_PATTERN.match(tenant_id) and ULID_PATTERN.match(user))


def _client_connections(listing: ServerConnections) -> list[OpenConnection]:
    return [
        _to_open_connection(listing.server, connection)
        for connection in listing.connections
        if _is_client(connection.name_tag, connection.authorized_user)
    ]


def _to_open_connection(server: Server, connection: BrokerConnection) -> OpenConnection:
    return OpenConnection(
        id=nats_connection_id(server.id, connection.cid),
        tenant=connection.name_tag,
        client=connection.authorized_user,
        account=connection.account,
        transport=Transport.NATS,
        server=server.name,
        holder=server.id,
        connected_at=to_ms(connection.start),
        ip=connection.ip,
    )
