"""Which tenant and client a broker connection is counted for."""

from datetime import timedelta

import pytest

from artcafe_common.account_keys import MAX_CONCURRENT_LOOKUPS
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.identity.accounts import AccountMissing, BrokerAccount
from artcafe_metering.connections import ConnectionSnapshot, TrafficTotals
from artcafe_metering.owners import ConnectionOwner, OwnerResolver

TENANT = new_id()


class Identity:
    """Answers FindAccount, or fails with `failure`."""

    def __init__(self):
        self.platform_key = "PLATFORM"
        self.failure = None
        self.asked = 0

    async def call(self, command, **_):
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return BrokerAccount(account=command.account, tenant_id=TENANT, platform_key=self.platform_key)


def seen(cid=1, *, user="U" * 56, issuer="PLATFORM", started=timedelta(), **changes):
    start = now() + started
    values = {
        "server": "S",
        "cid": cid,
        "account": "A",
        "tenant_id": TENANT,
        "user": user,
        "issuer": issuer,
        "start": start,
        "stop": None,
        "totals": TrafficTotals(in_msgs=1, in_bytes=2, out_msgs=3, out_bytes=4),
    } | changes
    return ConnectionSnapshot(**values)


@pytest.fixture
def identity():
    return Identity()


@pytest.fixture
def owners(identity):
    return OwnerResolver(identity)


async def test_client_id_is_the_user_name_that_the_platform_issued(owners):
    client = new_id()
    issued, posing = seen(1, user=client), seen(2, user=client, issuer="THEIRS")
    assert await owners.resolve([issued, posing]) == {
        issued.key: ConnectionOwner(client_id=client),
        posing.key: ConnectionOwner(),
    }


async def test_platform_key_identifies_a_bridge(owners, identity):
    bridge, user = seen(1), seen(2, issuer="THEIRS", started=timedelta(hours=-1))
    found = await owners.resolve([bridge, user])
    assert found == {bridge.key: ConnectionOwner(bridge=True), user.key: ConnectionOwner()}
    assert identity.asked == 1


async def test_newer_platform_key_is_fetched(owners, identity):
    await owners.resolve([seen(1)])
    identity.platform_key = "NEWER"
    younger = seen(2, issuer="NEWER", started=timedelta(seconds=1))
    assert (await owners.resolve([younger]))[younger.key] == ConnectionOwner(bridge=True)


async def test_owner_stays_unknown_while_identity_is_unavailable(owners, identity):
    identity.failure = ServiceUnavailable()
    accounts = [seen(number, account=f"A{number}") for number in range(10 * MAX_CONCURRENT_LOOKUPS)]
    assert await owners.resolve([seen(1, user=new_id()), *accounts]) == {}
    # It is waited for once, not once for each account.
    assert identity.asked <= MAX_CONCURRENT_LOOKUPS


async def test_connection_of_a_deleted_account_has_no_owner(owners, identity):
    identity.failure = AccountMissing()
    one, other = seen(1), seen(2)
    assert await owners.resolve([one, other]) == {one.key: None, other.key: None}
    assert identity.asked == 1


def test_connection_duration_ends_with_the_connection():
    one = seen(started=timedelta(minutes=-10))
    assert one.duration_s(now()) == 600
    ended = seen(started=timedelta(minutes=-10), stop=now() - timedelta(minutes=5))
    assert 299 <= ended.duration_s(now()) <= 300


def test_closed_connection_is_counted_on_its_last_day():
    yesterday = now() - timedelta(days=1)
    row = seen(started=timedelta(days=-2), stop=yesterday).script_row("", bridge=False, now=now())
    assert row["day"] == f"{yesterday:%Y%m%d}"
