"""Events of gateways are applied concurrently, those of one connection in order."""

import asyncio

from artcafe_common.contracts.presence import ConnectionClosed, ConnectionOpened
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


def event(kind, connection_id, **fields):
    return kind(connection_id=connection_id, tenant_id="t", client_id="c", account="A", **fields)


async def test_events_of_one_connection_are_applied_in_order():
    store = FakeStore()
    gateways = GatewayEventHandler(store)
    opened = event(ConnectionOpened, "a", server_id="s", instance="i")
    # The opening event is delivered twice.
    handlers = asyncio.gather(
        gateways.on_connection_opened(opened),
        gateways.on_connection_opened(opened),
        gateways.on_connection_closed(event(ConnectionClosed, "a")),
        gateways.on_connection_closed(event(ConnectionClosed, "b")),
    )
    # Another connection does not wait for the one that is opening.
    await eventually(lambda: store.changes, every=0.001)
    assert store.changes == [("close", "b")]
    store.allow_open.set()
    await handlers
    assert store.changes[-1] == ("close", "a")
    assert ("open", "a") in store.changes
    assert gateways._opening == {}
