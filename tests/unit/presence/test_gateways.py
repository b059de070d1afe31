"""Events of gateways are applied concurrently, those of one connection in order."""

import asyncio
from datetime import UTC, datetime

from artcafe_common.contracts.presence import (
    ClosedSocket,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionsChanged,
    OpenedSocket,
)
from artcafe_presence.gateways import GatewayEventHandler
from support.waiting import eventually


class FakeStore:
    """Records the changes in order; opening waits until `allow_open` is set."""

    def __init__(self):
        self.changes = []
        self.allow_open = asyncio.Event()

    async def open_connections(self, connections):
        await self.allow_open.wait()
        self.changes += [("open", connection.id) for connection in connections]

    async def close_connections(self, connections):
        self.changes += [("close", connection.id) for connection in connections]


def opened(connection_id):
    return OpenedSocket(
        connection_id=connection_id, tenant_id="t", client_id="c", account="A", opened_at=datetime.now(UTC)
    )


def closed(connection_id):
    return ClosedSocket(connection_id=connection_id, tenant_id="t")


def changed(*, opened=(), closed=()):
    return ConnectionsChanged(server_id="s", instance="i", opened=list(opened), closed=list(closed))


async def test_events_of_one_connection_are_applied_in_order():
    store = FakeStore()
    gateways = GatewayEventHandler(store)
    event = changed(opened=[opened("a"), opened("c")], closed=[closed("c")])
    # The opening event is delivered twice.
    handlers = asyncio.gather(
        gateways.on_connections_changed(event),
        gateways.on_connections_changed(event),
        gateways.on_connections_changed(changed(closed=[closed("a")])),
        gateways.on_connections_changed(changed(closed=[closed("b")])),
    )
    # Another connection does not wait for the one that is opening.
    await eventually(lambda: store.changes, every=0.001)
    assert store.changes == [("close", "b")]
    store.allow_open.set()
    await handlers
    assert store.changes.index(("open", "a")) < store.changes.index(("close", "a"))
    assert store.changes.index(("open", "c")) < store.changes.index(("close", "c"))
    assert gateways._opening == {}


async def test_events_of_gateways_of_an_earlier_release_are_applied():
    store = FakeStore()
    store.allow_open.set()
    gateways = GatewayEventHandler(store)
    whose = {"connection_id": "a", "tenant_id": "t"}
    await gateways.on_connection_opened(
        ConnectionOpened(**whose, client_id="c", account="A", server_id="s", instance="i")
    )
    await gateways.on_connection_closed(ConnectionClosed(**whose))
    assert store.changes == [("open", "a"), ("close", "a")]
