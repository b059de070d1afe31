"""Bridges: publishing, requests, shared subscriptions, and reconnecting."""

import asyncio

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_gateway.bridges import bridge as bridge_module
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connection import MAX_PENDING_BYTES
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.errors import (
    BrokerUnavailable,
    NoResponders,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
)
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS
from support.fakes.clock import FakeClock
from support.fakes.ids import CLIENT, SIGNING_KEYS, TENANT
from support.waiting import eventually


class Recorder(BrokerSubscription):
    """Records the payloads and the reconnects."""

    __slots__ = ("payloads", "resubscribed")

    def __init__(self, tenant_id, group_type):
        super().__init__(tenant_id, group_type)
        self.payloads = []
        self.resubscribed = 0

    def on_message(self, subject, reply, payload, headers):
        self.payloads.append(payload)

    def on_resubscribed(self):
        self.resubscribed += 1


def connected(bridge):
    return lambda: bridge.state is BridgeState.CONNECTED


async def reconnected(bridge, broker):
    """Wait for a new connection after `broker.restart()`."""
    await eventually(connected(bridge), every=0.001)
    return broker.connection


# -- publishing ------------------------------------------------------------------------------------


async def test_messages_reach_the_broker_in_order(bridge, broker):
    subscription = await bridge.acquire_subscription("a", Recorder)
    for number in range(100):
        bridge.publish("a", b"%d" % number, b"")
    await bridge.flush()
    assert subscription.payloads == [b"%d" % number for number in range(100)]


async def test_publish_without_a_connection_is_rejected(bridge, broker):
    broker.down = True
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        bridge.publish("a", b"1", b"")
    with pytest.raises(BrokerUnavailable):
        await bridge.flush()


async def test_too_large_message_is_rejected_and_not_counted(bridge, broker):
    with pytest.raises(PayloadTooLarge):
        bridge.publish("a", b"x" * broker.max_payload, b"header")
    assert await bridge.collect_usage() == ([], None)


async def test_full_write_buffer_limits_the_rate(bridge, broker):
    broker.connection.pending_bytes = MAX_PENDING_BYTES + 1
    with pytest.raises(RateLimited):
        bridge.publish("a", b"1", b"")
    assert await bridge.collect_usage() == ([], None)


async def test_publish_rate_is_limited(broker, bus):
    bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings(publish_rate=10), signing_keys=SIGNING_KEYS)
    await bridge.open()
    for _ in range(100):
        bridge.publish("a", b"1", b"")
    with pytest.raises(RateLimited):
        bridge.publish("a", b"1", b"")
    await bridge.close()


async def test_exhausted_quota_rejects_until_the_month_ends(bridge, broker, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(bridge_module, "time", clock)
    bridge.quota_exhausted_until = clock.now + 59.5
    with pytest.raises(QuotaExceeded) as error:
        bridge.publish("a", b"1", b"")
    assert error.value.retry_after_s == 60
    clock.advance(60)
    bridge.publish("a", b"1", b"")
    assert bridge.quota_exhausted_until == 0


async def test_flush_waits_for_the_broker(bridge, broker):
    broker.pause()
    bridge.publish("a", b"1", b"")
    flush = asyncio.create_task(bridge.flush())
    await asyncio.sleep(0.01)
    assert (flush.done(), broker.received) == (False, [])
    broker.resume()
    await flush
    assert broker.received == [("a", b"1")]


async def test_flush_fails_when_the_connection_breaks(bridge, broker):
    broker.pause()
    bridge.publish("a", b"1", b"")
    flush = asyncio.create_task(bridge.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        await flush
    broker.resume()


# -- requests --------------------------------------------------------------------------------------


async def test_request_returns_the_reply_and_is_counted(bridge, broker):
    broker.responders["ask"] = lambda payload: [(payload.upper(), None)]
    reply = await bridge.request("ask", b"abc", b"NATS/1.0\r\na: b\r\n\r\n", timeout_s=1, client_id=CLIENT)
    assert reply.data == b"ABC"
    entries, _ = await bridge.collect_usage()
    assert [(entry.client_id, entry.messages, entry.bytes_in) for entry in entries] == [(CLIENT, 1, 3)]


async def test_request_without_responders(bridge):
    with pytest.raises(NoResponders):
        await bridge.request("ask", b"abc", b"", timeout_s=1, client_id=CLIENT)


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"", b"NATS/1.0\r\nStatus: 503\r\n\r\n"),
        (b"x", b"NATS/1.0 503\r\n\r\n"),
        (b"", b"NATS/1.0 503\r\nA: b\r\n\r\n"),
    ],
)
async def test_reply_with_a_status_of_the_responder_is_a_reply(bridge, broker, data, headers):
    broker.responders["ask"] = lambda _: [(data, headers)]
    assert (await bridge.request("ask", b"abc", b"", timeout_s=1, client_id=CLIENT)).data == data


async def test_request_without_a_reply_times_out(bridge, broker):
    broker.responders["ask"] = lambda _: []
    with pytest.raises(RequestTimeout):
        await bridge.request("ask", b"abc", b"", timeout_s=0.01, client_id=CLIENT)


async def test_request_without_a_connection_is_rejected(bridge, broker):
    broker.down = True
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        await bridge.request("ask", b"abc", b"", timeout_s=1, client_id=CLIENT)


# -- subscriptions ---------------------------------------------------------------------------------


async def test_one_subject_is_subscribed_once_for_all_users(bridge, broker):
    first = await bridge.acquire_subscription("a", Recorder)
    second = await bridge.acquire_subscription("a", Recorder)
    await bridge.flush()
    assert first is second
    assert broker.subjects == ["a"]
    assert bridge.subscription_count == 1
    await bridge.release_subscription("a")
    await bridge.flush()
    assert broker.subjects == ["a"]
    await bridge.release_subscription("a")
    await bridge.flush()
    assert (broker.subjects, bridge.subscription_count) == ([], 0)


async def test_release_of_an_unknown_subject_is_ignored(bridge, broker):
    await bridge.release_subscription("a")
    assert bridge.subscription_count == 0


async def test_subscription_is_confirmed_by_the_broker(bridge, broker):
    broker.pause()
    subscription = await bridge.acquire_subscription("a", Recorder)
    confirm = asyncio.create_task(bridge.confirm_subscription(subscription))
    await asyncio.sleep(0.01)
    assert not confirm.done()
    broker.resume()
    await confirm
    assert broker.subjects == ["a"]


async def test_confirmation_fails_without_a_connection(bridge, broker):
    broker.down = True
    await broker.restart()
    subscription = await bridge.acquire_subscription("a", Recorder)
    with pytest.raises(BrokerUnavailable):
        await bridge.confirm_subscription(subscription)


@pytest.fixture
def attaching(broker, monkeypatch):
    """Attaching a subscription waits until the event is set, as while the connection's queue of commands is full."""
    go_on, attach = asyncio.Event(), type(broker.connection).attach

    async def attach_later(connection, subject, subscription, queue):
        await go_on.wait()
        await attach(connection, subject, subscription, queue)

    monkeypatch.setattr(type(broker.connection), "attach", attach_later)
    return go_on


async def test_user_that_leaves_while_a_subscription_is_attached_takes_it_from_nobody(
    bridge, broker, attaching
):
    first = asyncio.create_task(bridge.acquire_subscription("a", Recorder))
    await asyncio.sleep(0)
    await bridge.acquire_subscription("a", Recorder)
    await bridge.release_subscription("a")
    attaching.set()
    subscription = await first
    await bridge.flush()
    broker.route("a", b"1")
    assert subscription.payloads == [b"1"]
    assert broker.subjects == ["a"]


async def test_cancelled_or_unconfirmed_subscription_is_not_left_behind(bridge, broker, attaching):
    acquiring = asyncio.create_task(bridge.acquire_subscription("a", Recorder))
    await asyncio.sleep(0)
    acquiring.cancel()
    await asyncio.wait([acquiring])
    assert bridge.subscription_count == 0
    attaching.set()
    broker.pause()
    acquiring = asyncio.create_task(bridge.acquire_confirmed("a", Recorder))
    await asyncio.sleep(0.01)
    await broker.restart()
    with pytest.raises(BrokerUnavailable):
        await acquiring
    assert bridge.subscription_count == 0


# -- reconnecting ----------------------------------------------------------------------------------


async def test_subscriptions_survive_a_reconnect(bridge, broker):
    subscription = await bridge.acquire_subscription("a", Recorder)
    await bridge.confirm_subscription(subscription)
    await broker.restart()
    assert not subscription.confirmed
    await reconnected(bridge, broker)
    assert subscription.confirmed
    bridge.publish("a", b"1", b"")
    await bridge.flush()
    # Once: the broken connection is not used any more.
    assert subscription.payloads == [b"1"]
    assert subscription.resubscribed == 1


async def test_subscription_acquired_while_disconnected_is_attached_later(bridge, broker):
    broker.down = True
    await broker.restart()
    subscription = await bridge.acquire_subscription("a", Recorder)
    broker.down = False
    await reconnected(bridge, broker)
    await bridge.confirm_subscription(subscription)
    assert broker.subjects == ["a"]


async def test_subscription_released_while_disconnected_is_not_attached_again(bridge, broker):
    await bridge.acquire_subscription("a", Recorder)
    broker.down = True
    await broker.restart()
    await bridge.release_subscription("a")
    broker.down = False
    await reconnected(bridge, broker)
    await bridge.flush()
    assert broker.subjects == []


async def test_changes_during_the_reconnect_are_applied_after_it(bridge, broker):
    await bridge.acquire_subscription("released", Recorder)
    broker.pause()
    await broker.restart()
    # The new connection waits for the broker to confirm its subscriptions.
    await eventually(lambda: broker.open_connections, every=0.001)
    await asyncio.sleep(0.01)
    await bridge.release_subscription("released")
    acquired = await bridge.acquire_subscription("acquired", Recorder)
    broker.resume()
    await reconnected(bridge, broker)
    await bridge.confirm_subscription(acquired)
    assert broker.subjects == ["acquired"]


async def test_reconnect_repeats_until_it_succeeds(bridge, broker, bus):
    bus.replies[IssueBridgeCredentials] = ServiceUnavailable()
    await broker.restart()
    await eventually(lambda: bus.count(IssueBridgeCredentials) > 3, every=0.001)
    assert bridge.state is BridgeState.RECONNECTING
    bus.replies[IssueBridgeCredentials] = BRIDGE_CREDENTIALS
    await reconnected(bridge, broker)


async def test_connection_that_breaks_while_subscribing_is_replaced(bridge, broker):
    subscription = await bridge.acquire_subscription("a", Recorder)
    broker.pause()
    await broker.restart()
    await eventually(lambda: broker.open_connections, every=0.001)
    await asyncio.sleep(0.01)
    await broker.restart()
    broker.resume()
    await reconnected(bridge, broker)
    bridge.publish("a", b"1", b"")
    await bridge.flush()
    assert subscription.payloads == [b"1"]


async def test_failed_open_leaves_no_connection(broker, bus):
    broker.down = True
    bridge = Bridge(tenant_id=TENANT, bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS)
    with pytest.raises(BrokerUnavailable):
        await bridge.open()
    assert broker.open_connections == []
    assert bridge.state is BridgeState.CONNECTING


async def test_error_of_identity_is_raised_by_open(broker, bus):
    bus.replies[IssueBridgeCredentials] = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await Bridge(tenant_id=TENANT, bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS).open()


async def test_closed_bridge_does_not_reconnect(bridge, broker, bus):
    bus.replies[IssueBridgeCredentials] = ServiceUnavailable()
    await broker.restart()
    await eventually(lambda: bus.count(IssueBridgeCredentials) > 1, every=0.001)
    await bridge.close()
    await bridge.close()
    bus.replies[IssueBridgeCredentials] = BRIDGE_CREDENTIALS
    calls = bus.count(IssueBridgeCredentials)
    await asyncio.sleep(0.02)
    assert bus.count(IssueBridgeCredentials) == calls
    assert (broker.open_connections, bridge.state) == ([], BridgeState.CLOSED)


async def test_bridge_closed_during_a_reconnect_leaves_no_connection(bridge, broker):
    broker.pause()
    await broker.restart()
    await eventually(lambda: broker.open_connections, every=0.001)
    await bridge.close()
    broker.resume()
    await eventually(lambda: not broker.open_connections, every=0.001)
    assert bridge.state is BridgeState.CLOSED


async def test_each_connection_gets_its_own_credentials(bridge, broker, bus):
    await broker.restart()
    await reconnected(bridge, broker)
    keys = {call.nkey_public for call in bus.calls if isinstance(call, IssueBridgeCredentials)}
    assert len(keys) == 2
    assert {call.tenant_id for call in bus.calls} == {TENANT}
