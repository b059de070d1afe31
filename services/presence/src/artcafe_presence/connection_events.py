"""Applies the broker's CONNECT and DISCONNECT events to the live state."""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from artcafe_common.broker.system_account import (
    ACCOUNT_EVENTS,
    BrokerConnection,
    ConnectionEvent,
    nats_connection_id,
)
from artcafe_common.bus.errors import CommandError
from artcafe_presence.connection_owners import ConnectionOpener, in_tenant_account
from artcafe_presence.records import ClosedConnection

# After a shutdown of the broker its clients get time to reconnect, there or to another server.
SHUTDOWN = "Server Shutdown"
# Events of several servers arrive in any order, so those of this time are applied together.
BATCH_WAIT_S = 0.02
MAX_BATCH = 500
MAX_PENDING = 100_000
log = structlog.get_logger()


class ConnectionEventHandler:
    """Applies the events in batches: the opened connections first, then the closed ones.

    A client that opens its next connection before it closes the previous one is therefore never offline between
    them. Every instance applies every event, and in the broker's order, so instances need not agree on one either:
    each change of the live state is idempotent, and a closed connection is not opened again.
    """

    def __init__(self, system: Nats, opener: ConnectionOpener) -> None:
        self._system = system
        self._opener = opener
        self._store = opener.store
        self._requests = opener.requests
        self._pending: asyncio.Queue[tuple[bool, ConnectionEvent]] = asyncio.Queue(MAX_PENDING)

    async def subscribe(self) -> None:
        """Subscribe to the events of every account."""
        await self._system.subscribe(ACCOUNT_EVENTS, cb=self._on_event)

    async def run(self) -> None:
        """Apply events until cancelled."""
        while True:
            batch = [await self._pending.get()]
            await asyncio.sleep(BATCH_WAIT_S)
            while len(batch) < MAX_BATCH and not self._pending.empty():
                batch.append(self._pending.get_nowait())
            await self._apply(batch)

    async def _on_event(self, message: Msg) -> None:
        kind = message.subject.rpartition(".")[2]
        if kind not in ("CONNECT", "DISCONNECT"):
            return
        try:
            event = msgspec.json.decode(message.data, type=ConnectionEvent)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.exception("broker_event_invalid", subject=message.subject)
            return
        if not in_tenant_account(event.client.name_tag):
            return
        if event.reason == SHUTDOWN:
            self._requests.disturb()
            return
        try:
            self._pending.put_nowait((kind == "CONNECT", event))
        except asyncio.QueueFull:
            self._requests.request()

    async def _apply(self, batch: list[tuple[bool, ConnectionEvent]]) -> None:
        try:
            await self._opener.open(
                [(event.server, _to_connection(event)) for is_open, event in batch if is_open]
            )
            await self._store.close_connections(
                [
                    ClosedConnection(
                        id=nats_connection_id(event.server.id, event.client.id),
                        tenant=event.client.name_tag,
                        reason="disconnected",
                    )
                    for is_open, event in batch
                    if not is_open
                ]
            )
        except CommandError as error:
            # Reconciliation finds the changes that these events reported.
            log.warning("broker_event_missed", reason=error.detail)
            self._requests.request()


def _to_connection(event: ConnectionEvent) -> BrokerConnection:
    client = event.client
    return BrokerConnection(
        cid=client.id,
        account=client.acc,
        authorized_user=client.user,
        name_tag=client.name_tag,
        issuer_key=client.issuer_key,
        ip=client.host,
        start=client.start,
    )
