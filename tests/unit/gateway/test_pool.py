"""The pool: one bridge per tenant, opened for the first user and closed some time after the last."""

import asyncio

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.accounts import IssueBridgeCredentials
from artcafe_gateway.bridges import pool as pool_module
from artcafe_gateway.bridges.connector import BridgeState
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.errors import BrokerUnavailable
from artcafe_gateway.settings import Settings
from support.fakes.broker import BRIDGE_CREDENTIALS
from support.fakes.ids import OTHER_TENANT, SIGNING_KEYS, TENANT


@pytest.fixture
def clock(clock, monkeypatch):
    monkeypatch.setattr(pool_module, "time", clock)
    return clock


@pytest.fixture
async def pool(broker, bus):
    pool = BridgePool(bus=bus, settings=Settings(), signing_keys=SIGNING_KEYS)
    yield pool
    await pool.close()


async def test_concurrent_users_open_one_connection(pool, broker):
    bridges = await asyncio.gather(*(pool.acquire(TENANT) for _ in range(20)))
    assert len(set(bridges)) == 1
    assert len(broker.connections) == 1
    assert bridges[0].reference_count == 20


async def test_each_tenant_has_its_own_bridge(pool, broker):
    one, other = await pool.acquire(TENANT), await pool.acquire(OTHER_TENANT)
    assert (one.tenant_id, other.tenant_id) == (TENANT, OTHER_TENANT)
    assert len(broker.open_connections) == 2
    assert pool.open_bridges == [one, other]


async def test_failed_open_is_raised_to_all_and_not_cached(pool, broker):
    broker.down = True
    outcomes = await asyncio.gather(*(pool.acquire(TENANT) for _ in range(3)), return_exceptions=True)
    assert {type(each) for each in outcomes} == {BrokerUnavailable}
    assert pool.open_bridges == []
    broker.down = False
    assert (await pool.acquire(TENANT)).state is BridgeState.CONNECTED


async def test_bridge_is_listed_once_it_is_open(pool, bus):
    bus.hold(IssueBridgeCredentials)
    opening = asyncio.create_task(pool.acquire(TENANT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert pool.open_bridges == []
    bus.release(IssueBridgeCredentials)
    bridge = await opening
    assert pool.open_bridges == [bridge]


async def test_cancelled_user_does_not_cancel_the_opening_of_others(pool, bus):
    bus.hold(IssueBridgeCredentials)
    first, second = asyncio.create_task(pool.acquire(TENANT)), asyncio.create_task(pool.acquire(TENANT))
    await asyncio.sleep(0.001)
    first.cancel()
    bus.release(IssueBridgeCredentials)
    assert (await second).reference_count == 1


async def test_users_wait_for_before_use(pool):
    prepared = asyncio.Event()
    pool.before_use = lambda _: prepared.wait()
    acquire = asyncio.create_task(pool.acquire(TENANT))
    await asyncio.sleep(0.005)
    assert not acquire.done()
    prepared.set()
    await acquire


async def test_error_of_before_use_closes_the_connection(pool, broker):
    async def fail(_bridge):
        await asyncio.sleep(0.005)
        raise ServiceUnavailable

    pool.before_use = fail
    with pytest.raises(ServiceUnavailable):
        await pool.acquire(TENANT)
    assert broker.open_connections == []


async def test_unexpected_error_does_not_shut_the_tenant_out(pool, broker):
    async def fail(_bridge):
        raise ZeroDivisionError

    pool.before_use = fail
    with pytest.raises(ZeroDivisionError):
        await pool.acquire(TENANT)
    assert broker.open_connections == []
    pool.before_use = None
    assert (await pool.acquire(TENANT)).state is BridgeState.CONNECTED


async def test_opening_that_hangs_is_given_up(pool, bus, broker, monkeypatch):
    monkeypatch.setattr(pool_module, "CONNECT_TIMEOUT_S", 0.005)
    bus.hold(IssueBridgeCredentials)
    with pytest.raises(ServiceUnavailable):
        await pool.acquire(TENANT)
    bus.release(IssueBridgeCredentials)
    await asyncio.sleep(0.005)
    assert broker.open_connections == []
    bus.replies[IssueBridgeCredentials] = BRIDGE_CREDENTIALS
    assert await pool.acquire(TENANT)


async def test_unused_bridge_closes_after_the_linger_time(pool, broker, clock):
    bridge = await pool.acquire(TENANT)
    pool.release(bridge)
    clock.advance(pool.LINGER_S)
    await pool.close_idle()
    assert pool.open_bridges == [bridge]
    clock.advance(1)
    await pool.close_idle()
    assert (pool.open_bridges, broker.open_connections) == ([], [])
    assert await pool.acquire(TENANT) is not bridge


async def test_used_bridge_is_not_closed(pool, clock):
    bridge = await pool.acquire(TENANT)
    await pool.acquire(TENANT)
    pool.release(bridge)
    clock.advance(1_000)
    await pool.close_idle()
    assert pool.open_bridges == [bridge]


async def test_bridge_is_reused_within_the_linger_time(pool, clock):
    bridge = await pool.acquire(TENANT)
    pool.release(bridge)
    clock.advance(pool.LINGER_S - 1)
    assert await pool.acquire(TENANT) is bridge
    pool.release(bridge)
    clock.advance(pool.LINGER_S - 1)
    await pool.close_idle()
    assert pool.open_bridges == [bridge]


async def test_before_close_runs_while_the_bridge_is_connected(pool, clock):
    states = []

    async def record(bridge):
        states.append(bridge.state)

    pool.before_close = record
    pool.release(await pool.acquire(TENANT))
    clock.advance(1_000)
    await pool.close_idle()
    assert states == [BridgeState.CONNECTED]


async def test_close_closes_every_bridge(pool, broker):
    for tenant_id in (TENANT, OTHER_TENANT):
        await pool.acquire(tenant_id)
    await pool.close()
    assert (pool.open_bridges, broker.open_connections) == ([], [])
