"""The comparison with the broker's connections happens, whatever else goes on, and closes only what is gone."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_presence.broker_connections import BrokerConnectionMonitor, ReconcileState
from artcafe_presence.comparison_requests import ComparisonRequests
from support.waiting import eventually


class Store:
    """Two stored connections, of which the broker lists one."""

    def __init__(self):
        self.stored = {"server": {"kept", "gone"}}
        self.closed = []

    async def clock_ms(self):
        return 0

    async def nats_connection_ids(self):
        return {server: set(ids) for server, ids in self.stored.items()}

    async def close_unlisted(self, _began_at, ids):
        self.closed += ids
        self.stored["server"] -= set(ids)

    async def remove_server(self, _server):
        pass

    async def renew_ttls(self):
        return False


class Monitor(BrokerConnectionMonitor):
    """Lists without a broker: `on_list` runs with each list."""

    def __init__(self, *, grace_s=0.01, interval_s=60.0):
        self.requests, self.store = ComparisonRequests(), Store()
        self.system = SimpleNamespace(is_connected=True, stats={"reconnects": 0})
        opener = SimpleNamespace(store=self.store, requests=self.requests)
        super().__init__(self.system, opener, grace_s=grace_s, interval_s=interval_s)
        self.lists = 0
        self.on_list = lambda: None

    async def open_listed(self):
        self.lists += 1
        await asyncio.sleep(0)
        self.on_list()
        return {"server": {"kept"}}


@contextlib.asynccontextmanager
async def background(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_requests_that_do_not_end_postpone_no_comparison():
    """As when Redis has lost the servers, and each heartbeat is from one that is unknown."""
    monitor = Monitor()

    async def report_unknown_servers():
        while True:
            monitor.requests.request()
            await asyncio.sleep(0.001)

    async def compare():
        while True:
            await monitor.reconcile_when_due()

    async with background(report_unknown_servers()), background(compare()):
        await eventually(lambda: monitor.store.closed == ["gone"])


@pytest.mark.parametrize("disturbance", ["shutdown", "reconnect"])
async def test_nothing_is_closed_by_a_list_from_before_clients_reconnect(disturbance):
    monitor = Monitor()

    def disturb():
        if monitor.lists == 2:
            monitor.requests.disturb() if disturbance == "shutdown" else monitor.system.stats.update(
                reconnects=1
            )

    monitor.on_list = disturb
    await monitor.reconcile_when_due()
    assert monitor.store.closed == []
    # And it is compared again.
    await asyncio.wait_for(monitor.reconcile_when_due(), 1)
    assert monitor.store.closed == ["gone"]


@pytest.mark.parametrize("error", [StoreUnavailable(), TimeoutError(), ValueError()])
async def test_failed_comparison_is_repeated_before_the_interval(error):
    monitor = Monitor()

    def fail():
        if monitor.lists == 2:
            raise error

    monitor.on_list = fail
    with pytest.raises(type(error)):
        await monitor.reconcile_when_due()
    assert monitor.state is ReconcileState.IDLE
    await asyncio.wait_for(monitor.reconcile_when_due(), 1)
    assert monitor.store.closed == ["gone"]


@given(st.lists(st.sampled_from(["compare", "request", "disturb", "fail", "cut"]), max_size=12))
def test_any_history_ends_with_what_the_broker_lists(steps):
    async def run():
        monitor = Monitor(grace_s=0, interval_s=0)
        for step in steps:
            if step == "request":
                monitor.requests.request()
            elif step == "disturb":
                monitor.requests.disturb()
            elif step == "cut":
                monitor.system.is_connected = not monitor.system.is_connected
            else:
                monitor.on_list = _failing if step == "fail" else lambda: None
                with contextlib.suppress(StoreUnavailable):
                    await monitor.reconcile_when_due()
        monitor.on_list, monitor.system.is_connected = lambda: None, True
        await monitor.reconcile_when_due()
        return monitor.store.stored

    assert asyncio.run(run()) == {"server": {"kept"}}


def _failing():
    raise StoreUnavailable
