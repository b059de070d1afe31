"""Servers of the broker that are lost, and those that only seem so."""

import pytest

from artcafe_presence import server_watch
from artcafe_presence.server_watch import MISSING_CHECKS, ServerWatch


class Cluster:
    """The servers that reply, and the store of their connections."""

    def __init__(self):
        self.replying = {"a", "b", "c"}
        self.stored = {name: {f"nats:{name}:1"} for name in ("a", "b", "c")}
        self.returned = 0

    async def list_servers(self, _system):
        return set(self.replying)

    def on_return(self):
        self.returned += 1

    async def clock_ms(self):
        return 1

    async def nats_connection_ids(self):
        return self.stored

    async def close_unlisted(self, _listed_at, connections):
        for connection in connections:
            self.stored[connection.split(":")[1]].discard(connection)

    @property
    def open(self):
        return sorted(server for server, connections in self.stored.items() if connections)


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def watch(cluster, monkeypatch):
    monkeypatch.setattr(server_watch, "GRACE_S", 0)
    return ServerWatch(None, cluster, on_return=cluster.on_return, servers=cluster.list_servers)


async def check(watch, times=1):
    for _ in range(times):
        await watch.check()


async def test_connections_of_a_lost_server_are_closed(cluster, watch):
    await check(watch)
    cluster.replying = {"a", "b"}
    await check(watch, MISSING_CHECKS)
    assert cluster.open == ["a", "b"]


async def test_one_missing_reply_closes_nothing(cluster, watch):
    await check(watch)
    cluster.replying = {"a", "b"}
    await check(watch, MISSING_CHECKS - 1)
    cluster.replying = {"a", "b", "c"}
    await check(watch, 2)
    assert cluster.open == ["a", "b", "c"]


async def test_minority_closes_nothing(cluster, watch):
    await check(watch)
    cluster.replying = {"a"}
    await check(watch, 2 * MISSING_CHECKS)
    assert cluster.open == ["a", "b", "c"]


async def test_server_that_returns_is_compared(cluster, watch):
    await check(watch)
    cluster.replying = {"a", "b"}
    await check(watch, MISSING_CHECKS)
    cluster.replying = {"a", "b", "c"}
    await check(watch, 2)
    assert cluster.returned == 1
