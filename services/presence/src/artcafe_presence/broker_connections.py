"""What the broker itself tells of direct NATS connections: live, and by comparing lists."""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import (
    CONNECTED,
    DISCONNECTED,
    BrokerConnection,
    ConnectionEvent,
    Server,
    ServerConnections,
    list_connections,
)
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.presence import Transport
from artcafe_presence.records import Opened, milliseconds, nats_connection_id
from artcafe_presence.store import Store

QUEUE = "presence"
# The clients of a broker that goes down are given time to come back, here or elsewhere.
SHUTDOWN = "Server Shutdown"
log = structlog.get_logger()


class Broker:
    """Keeps the NATS side of the connection table equal to the broker's."""

    def __init__(
        self, system: Nats, store: Store, *, asked: asyncio.Event, grace_s: float, sweep_interval_s: float
    ) -> None:
        self._system = system
        self._store = store
        self._asked = asked
        self._grace_s = grace_s
        self._interval_s = sweep_interval_s
        self._compared = False

    async def listen(self) -> None:
        """Hear of connections as they come and go; instances share the work."""
        await self._system.subscribe(CONNECTED, queue=QUEUE, cb=self._on_connect)
        await self._system.subscribe(DISCONNECTED, queue=QUEUE, cb=self._on_disconnect)

    async def round(self) -> None:
        """Compare once it is due: at the start, soon after `asked`, and every so often.

        The first time, and after the broker was away, clients get the grace to come back.
        """
        if not self._compared:
            await self.open_listed()
            self._compared = True
            self._asked.set()
        try:
            async with asyncio.timeout(self._interval_s):
                await self._asked.wait()
            self._asked.clear()
            await asyncio.sleep(self._grace_s)
        except TimeoutError:
            pass
        try:
            await self.reconcile()
        except CommandError:
            self._asked.set()
            raise
        while await self._store.renew():
            pass

    async def open_listed(self) -> dict[str, set[str]]:
        """Open every client's connection that the broker has; their ids by server."""
        listings = await list_connections(self._system)
        opened: list[Opened] = []
        for listing in listings:
            await self._store.learn_server(listing.server.name, listing.server.id)
            opened += _clients(listing)
        await self._store.open(opened)
        present: dict[str, set[str]] = {listing.server.id: set() for listing in listings}
        for each in opened:
            present[each.holder].add(each.id)
        return present

    async def reconcile(self) -> None:
        """Open what the broker has, close what it no longer has; put off while it comes and goes."""
        lives = self._system.stats["reconnects"]
        if self._is_disturbed(lives):
            return
        began = await self._store.clock()
        missing = await self._missing()
        if missing:
            # A listing of several pages, or of several servers, may have a gap: ask again.
            missing &= await self._missing()
        if missing and not self._is_disturbed(lives):
            await self._store.vanish(began, sorted(missing))
            log.info("connections_vanished", count=len(missing))

    def _is_disturbed(self, lives: int) -> bool:
        # What was listed across a reconnection was listed before the clients could come back.
        return (
            self._asked.is_set() or not self._system.is_connected or self._system.stats["reconnects"] != lives
        )

    async def _missing(self) -> set[str]:
        present = await self.open_listed()
        missing: set[str] = set()
        for server_id, known in (await self._store.broker_connections()).items():
            missing |= known - present.get(server_id, set())
            if not known and server_id not in present:
                await self._store.forget_broker(server_id)
        return missing

    async def _on_connect(self, message: Msg) -> None:
        event = _event(message)
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
            await self._store.open([_opened(event.server, connection)])
        except CommandError as error:
            self._miss(error)

    async def _on_disconnect(self, message: Msg) -> None:
        event = _event(message)
        if event is None or not _is_client(event.client.name_tag, event.client.user):
            return
        if event.reason == SHUTDOWN:
            self._asked.set()
            return
        try:
            await self._store.close(nats_connection_id(event.server.id, event.client.id), "disconnected")
        except CommandError as error:
            self._miss(error)

    def _miss(self, error: CommandError) -> None:
        # The comparison that is asked for finds what this event would have told.
        log.warning("broker_event_missed", reason=error.detail)
        self._asked.set()


def _event(message: Msg) -> ConnectionEvent | None:
    try:
        return msgspec.json.decode(message.data, type=ConnectionEvent)
    except msgspec.DecodeError:
        log.exception("broker_event_not_understood", subject=message.subject)
        return None


def _is_client(tenant_id: str, user: str) -> bool:
    """Gateways' bridges show a public key for a user, accounts of the platform no tenant."""
    return bool(ULID_PATTERN.match(tenant_id) and ULID_PATTERN.match(user))


def _clients(listing: ServerConnections) -> list[Opened]:
    return [
        _opened(listing.server, each)
        for each in listing.connections
        if _is_client(each.name_tag, each.authorized_user)
    ]


def _opened(server: Server, connection: BrokerConnection) -> Opened:
    return Opened(
        id=nats_connection_id(server.id, connection.cid),
        tenant=connection.name_tag,
        client=connection.authorized_user,
        account=connection.account,
        transport=Transport.NATS,
        server=server.name,
        holder=server.id,
        connected_at=milliseconds(connection.start),
        ip=connection.ip,
    )
