"""Events of gateways are applied at once, and yet each connection's in their order."""

import asyncio

from artcafe_common.contracts.presence import ConnectionClosed, ConnectionOpened
from artcafe_presence.gateways import GatewayEventHandler


class SlowToOpen:
    """Keeps what was done, in the order in which it was done."""

    def __init__(self):
        self.done = []

    async def open_connections(self, connections):
        await asyncio.sleep(0.05)
        self.done += [("open", connection.id) for connection in connections]

    async def close_connection(self, connection_id, _reason):
        self.done.append(("close", connection_id))


def event(kind, connection_id, **fields):
    return kind(connection_id=connection_id, tenant_id="t", client_id="c", account="A", **fields)


async def test_events_of_one_connection_are_applied_in_order():
    store = SlowToOpen()
    gateways = GatewayEventHandler(store)
    opened = event(ConnectionOpened, "a", server_id="s", instance="i")
    # Told twice, as may be; and one that is not opened now waits for nobody.
    await asyncio.gather(
        gateways.on_connection_opened(opened),
        gateways.on_connection_opened(opened),
        gateways.on_connection_closed(event(ConnectionClosed, "a")),
        gateways.on_connection_closed(event(ConnectionClosed, "b")),
    )
    assert store.done[0] == ("close", "b")
    assert store.done.index(("open", "a")) < store.done.index(("close", "a"))
    assert gateways._opening == {}
