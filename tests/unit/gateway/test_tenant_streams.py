"""The second connection of a bridge: opened when it is first used, and shared."""

import asyncio

import pytest

from artcafe_common.contracts.identity.accounts import AccountKind, IssueBridgeCredentials
from artcafe_gateway.bridges import tenant_streams
from artcafe_gateway.errors import BrokerUnavailable
from support.fakes.ids import TENANT


def accounts_requested(bus):
    return [command.account for command in bus.calls if isinstance(command, IssueBridgeCredentials)]


async def test_connection_is_opened_once_by_its_first_users(bridge, broker, bus):
    broker.responders["$JS"] = lambda _: [(b"end", None)]
    assert len(broker.open_connections) == 1
    await asyncio.gather(*(bridge.streams.request("$JS", b"{}", is_last=lambda _: True) for _ in range(5)))
    assert len(broker.open_connections) == 2
    assert accounts_requested(bus) == [AccountKind.CLIENTS, AccountKind.STREAMS]


async def test_failed_opening_is_repeated_by_the_next_user(bridge, broker):
    broker.responders["$JS"] = lambda _: [(b"end", None)]
    broker.down = True
    with pytest.raises(BrokerUnavailable):
        await bridge.streams.request("$JS", b"{}", is_last=lambda _: True)
    broker.down = False
    assert await bridge.streams.request("$JS", b"{}", is_last=lambda _: True)


async def test_request_collects_the_replies_up_to_the_last(bridge, broker):
    broker.responders["$JS"] = lambda _: [(b"1", None), (b"2", None), (b"end", None), (b"extra", None)]
    replies = await bridge.streams.request("$JS", b"{}", is_last=lambda reply: reply.data == b"end")
    assert [reply.data for reply in replies] == [b"1", b"2", b"end"]


async def test_request_without_a_reply_fails(bridge, broker, monkeypatch):
    monkeypatch.setattr(tenant_streams, "REQUEST_TIMEOUT_S", 0.01)
    broker.responders["$JS"] = lambda _: []
    with pytest.raises(BrokerUnavailable):
        await bridge.streams.request("$JS", b"{}", is_last=lambda _: True)


async def test_requests_are_not_counted_as_the_tenants(bridge, broker):
    broker.responders["$JS"] = lambda _: [(b"end", None)]
    await bridge.streams.request("$JS", b"12345", is_last=lambda _: True)
    assert await bridge.collect_usage() == ([], None)


async def test_closed_bridge_opens_no_connection(bridge, broker):
    await bridge.close()
    with pytest.raises(BrokerUnavailable):
        await bridge.streams.request("$JS", b"{}", is_last=lambda _: True)
    assert broker.open_connections == []
    assert bridge.tenant_id == TENANT
