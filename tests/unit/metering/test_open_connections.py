"""With many connections, metering lists only accounts in which something moved."""

from collections import Counter

import pytest

from artcafe_common.broker.system_account import (
    AccountTotals,
    BrokerConnection,
    Server,
    ServerConnections,
    Traffic,
)
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import new_id, now
from artcafe_metering import open_connections
from artcafe_metering.open_connections import OpenConnections

SERVER = Server(id="S", name="nats-1")
QUIET, BUSY = new_id(), new_id()


class Broker:
    """Connections by account; the account of a tenant is called after it."""

    def __init__(self):
        self.connections = {}
        self.listed = Counter()
        self.totals_failure = None
        for tenant in (QUIET, BUSY):
            self.connect(tenant)
            self.connect(tenant)

    def connect(self, tenant):
        cid = len(self.connections) + 1
        self.connections[cid] = BrokerConnection(cid=cid, account=f"A{tenant}", name_tag=tenant, start=now())
        return cid

    def publish(self, cid):
        before = self.connections[cid]
        changes = {name: getattr(before, name) for name in before.__struct_fields__}
        self.connections[cid] = BrokerConnection(**changes | {"in_msgs": before.in_msgs + 1})

    def of(self, account):
        return [each for each in self.connections.values() if each.account == account]

    async def list_all(self, _system):
        self.listed["all"] += 1
        return [ServerConnections(server=SERVER, connections=list(self.connections.values()))]

    async def list_account(self, _system, server_id, account):
        assert server_id == SERVER.id
        self.listed[account] += 1
        return self.of(account)

    async def read_totals(self, _system):
        if self.totals_failure:
            raise self.totals_failure
        accounts = {each.account: each.name_tag for each in self.connections.values()}
        return {
            SERVER.id: [
                AccountTotals(
                    acc=account,
                    name=tenant,
                    conns=len(self.of(account)),
                    received=Traffic(msgs=sum(each.in_msgs for each in self.of(account))),
                )
                for account, tenant in accounts.items()
            ]
        }


@pytest.fixture
def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(open_connections, "list_connections", broker.list_all)
    monkeypatch.setattr(open_connections, "list_account_connections", broker.list_account)
    monkeypatch.setattr(open_connections, "read_account_totals", broker.read_totals)
    monkeypatch.setattr(open_connections, "MAX_LISTED_ALWAYS", 0)
    monkeypatch.setattr(open_connections, "LISTED_IN_TURN", 0)
    return broker


@pytest.fixture
def bridges():
    return set()


@pytest.fixture
async def opened(broker, bridges):
    opened = OpenConnections(None, is_counted=lambda key: key not in bridges)
    await opened.read()
    await opened.read()
    broker.listed.clear()
    return opened


async def test_only_the_account_that_moved_is_listed(opened, broker):
    assert await opened.read() == []
    broker.publish(3)
    assert sorted(each.cid for each in await opened.read()) == [3, 4]
    assert broker.listed == {f"A{BUSY}": 1}
    assert opened.get("meter:conn:S:3").totals.in_msgs == 1
    assert await opened.read() == []


async def test_new_and_ended_connections_are_noticed_without_traffic(opened, broker):
    new = broker.connect(QUIET)
    assert new in {each.cid for each in await opened.read()}
    ended = opened.get("meter:conn:S:3")
    del broker.connections[3]
    opened.remove(ended)
    assert ended.key not in opened
    assert await opened.read() == []
    # One began and one ended meanwhile: their number is the same.
    replaced = opened.get("meter:conn:S:4")
    del broker.connections[4]
    broker.connections[9] = BrokerConnection(cid=9, account=f"A{BUSY}", name_tag=BUSY, start=now())
    opened.remove(replaced)
    assert [each.cid for each in await opened.read()] == [9]
    assert {each.cid for each in opened} == {1, 2, 9, new}


async def test_traffic_of_gateways_alone_lists_no_account(opened, broker, bridges):
    bridges |= {"meter:conn:S:3", "meter:conn:S:4"}
    broker.publish(3)
    assert await opened.read() == []
    assert not broker.listed
    direct = broker.connect(BUSY)
    await opened.read()
    broker.publish(direct)
    assert direct in {each.cid for each in await opened.read()}


async def test_few_connections_are_listed_at_once(opened, broker, monkeypatch):
    monkeypatch.setattr(open_connections, "MAX_LISTED_ALWAYS", 4)
    assert len(await opened.read()) == 4
    assert broker.listed == {"all": 1}


async def test_accounts_that_did_not_move_are_listed_in_turn(opened, broker, monkeypatch):
    monkeypatch.setattr(open_connections, "LISTED_IN_TURN", 1)
    for _ in range(4):
        await opened.read()
    assert broker.listed == {f"A{QUIET}": 2, f"A{BUSY}": 2}


async def test_accounts_of_a_server_that_is_gone_are_forgotten(opened, broker):
    broker.connections.clear()
    await opened.read()
    assert list(opened) == []


async def test_credentials_of_an_earlier_release_list_all(opened, broker):
    broker.totals_failure = ServiceUnavailable()
    for _ in range(2):
        assert len(await opened.read()) == 4
    assert broker.listed == {"all": 2}


async def test_broker_that_does_not_reply_is_not_taken_for_that(opened, broker, monkeypatch):
    async def fail(_system):
        raise ServiceUnavailable

    broker.totals_failure = ServiceUnavailable()
    monkeypatch.setattr(open_connections, "list_connections", fail)
    with pytest.raises(ServiceUnavailable):
        await opened.read()
    broker.totals_failure = None
    assert await opened.read() == []
