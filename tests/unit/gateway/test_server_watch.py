"""Servers of a cluster that hang: the bridges' connections to them end, and no others."""

from artcafe_gateway.bridges import server_watch
from artcafe_gateway.bridges.connection import BridgeConnection
from artcafe_gateway.bridges.server_watch import ServerWatch
from support.nats_server import running_nats_server
from support.pausing import paused

BOTH = "nats://one,nats://two"


async def connect(server, connections, number):
    for _ in range(number):
        connection = BridgeConnection()
        await connection.connect(server.url, allow_reconnect=False)
        connections.append(connection)


async def test_connections_to_a_server_that_hangs_end(monkeypatch):
    monkeypatch.setattr(server_watch, "ANSWER_WITHIN_S", 0.5)
    connections = []
    async with running_nats_server() as healthy, running_nats_server() as hung:
        await connect(hung, connections, 3)
        await connect(healthy, connections, 2)
        async with paused(hung.pid):
            await ServerWatch(healthy.url, lambda: connections).check()
            assert all(each.is_connected for each in connections)
            await ServerWatch(BOTH, lambda: connections).check()
        assert [each.is_connected for each in connections] == [False, False, False, True, True]
        for each in connections:
            await each.close()
