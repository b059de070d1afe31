"""The client without asyncio."""

import threading

import pytest

from artcafe_client import ClientClosed, ConnectionFailed, State
from artcafe_client.error_codes import NoResponders
from artcafe_client.sync import SyncClient
from artcafe_client.testing import MemoryServer


@pytest.fixture
def client():
    """A client of a server in memory, which lives in the client's loop."""
    with SyncClient(MemoryServer().connect("agent")) as opened:
        yield opened


def test_messages_arrive_in_order(client):
    subscription = client.subscribe("orders.>")
    for number in range(5):
        client.publish("orders.new", number)
    client.flush()
    assert [subscription.next(5).data for _ in range(5)] == list(range(5))
    with pytest.raises(TimeoutError):
        subscription.next(0.01)


def test_iteration_ends_with_the_subscription(client):
    with client.subscribe("x") as subscription:
        client.publish("x", 1)
        assert next(iter(subscription)).data == 1
    assert list(subscription) == []


def test_requests_are_answered_in_threads(client):
    threads = set()

    @client.respond("ask")
    def answer(message):
        threads.add(threading.current_thread())
        return message.data * 2

    assert [client.request("ask", n, timeout=5).data for n in range(3)] == [0, 2, 4]
    assert threading.current_thread() not in threads
    with pytest.raises(NoResponders):
        client.request("nobody", 1)


def test_channels_and_presence():
    server = MemoryServer()
    server.create_channel("news")
    with SyncClient(server.connect("agent")) as client:
        channel = client.channel("news")
        subscription = channel.subscribe()
        assert channel.publish({"n": 1}).seq == 1
        assert subscription.next(5).seq == 1
        client.presence.update(status="healthy", capabilities=["search"])
        assert client.presence.roster()[0]["capabilities"] == ["search"]


def test_closed_client_cannot_be_used():
    with SyncClient(MemoryServer().connect("agent")) as client:
        assert client.state is State.CONNECTED
    assert client.state is State.CLOSED
    with pytest.raises(ClientClosed):
        client.publish("x", 1)
    client.close()


def test_failed_connection_leaves_no_thread():
    server = MemoryServer()
    server.stop()
    before = threading.active_count()
    with pytest.raises(ConnectionFailed), SyncClient(server.connect("agent", connect_timeout=0)):
        pass
    assert threading.active_count() == before
