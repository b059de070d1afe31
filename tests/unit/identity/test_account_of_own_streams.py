"""Which accounts a tenant has for the streams of its clients, and what they may do, by plan and release."""

import time
from types import SimpleNamespace

import msgspec
import pytest

from artcafe_common.broker.claims import claims_of
from artcafe_common.plans import LIMITS, Plan
from artcafe_identity.account_repository import MAX_OWN_ROOTS
from artcafe_identity.tables import AccountItem, OwnStreams
from support.fakes.accounts import (
    FakeAccountStore,
    FakeSystemAccount,
    account_repository,
    account_signer,
)
from support.fakes.ids import TENANT


@pytest.fixture(scope="module")
def signer():
    return account_signer()


def limits(jwt):
    claims = claims_of(jwt)["limits"]
    return claims["streams"], claims["consumer"], claims["disk_storage"]


def own_calls(item):
    """The calls of the API without a domain that clients reach, and the accounts that they reach by them."""
    imports = claims_of(item.jwt)["imports"]
    return {each["account"] for each in imports if each.get("local_subject", "").startswith("$JS.API.")}


def plan_limits(plan):
    storage = LIMITS[plan].own_storage_bytes
    return (
        LIMITS[plan].own_streams,
        LIMITS[plan].own_stream_consumers,
        -1 if storage is None else storage,
    )


@pytest.mark.parametrize("plan", [Plan.BASIC, Plan.PRO, Plan.ENTERPRISE])
def test_new_tenant_has_an_account_with_the_plans_limits_once_its_clients_use_it(signer, plan):
    """A server reserves an account's storage when it is given, used or not."""
    item = signer.build(TENANT, plan)
    # JetStream is off where clients connect.
    assert limits(item.jwt) == limits(item.own.jwt) == (0, 0, 0)
    assert item.own.account in own_calls(item)
    assert item.stream_accounts == {"streams": item.streams.account}
    enabled = signer.sign(msgspec.structs.replace(item, own_enabled=True))
    assert limits(enabled.own.jwt) == plan_limits(plan)
    assert enabled.stream_accounts == {"streams": item.streams.account, "own": item.own.account}


@pytest.mark.parametrize("plan", list(Plan))
def test_platforms_streams_are_limited_one_by_one(signer, plan):
    """A limit of all of them would be reserved as a whole."""
    assert limits(signer.build(TENANT, plan).streams.jwt)[2] == -1


def test_plan_without_own_streams_has_no_such_account(signer):
    item = signer.build(TENANT, Plan.FREE)
    assert (item.own, limits(item.jwt), own_calls(item)) == (None, (0, 0, 0), set())


def test_other_plan_gives_and_takes_own_streams_and_keeps_their_account(signer):
    free = signer.build(TENANT, Plan.FREE)
    basic = signer.sign(msgspec.structs.replace(free, plan=Plan.BASIC))
    basic = signer.sign(msgspec.structs.replace(basic, own_enabled=True))
    assert limits(basic.own.jwt) == plan_limits(Plan.BASIC)
    again = signer.sign(msgspec.structs.replace(basic, plan=Plan.FREE))
    assert again.own.account == basic.own.account
    assert (limits(again.own.jwt), own_calls(again)) == ((0, 0, 0), set())
    assert "own" not in again.stream_accounts


def earlier_item(signer, plan, **fields):
    """An item as an earlier release stored it."""
    item = msgspec.to_builtins(signer.build(TENANT, plan))
    for name in ("own", "own_roots", "own_streams", "own_enabled"):
        del item[name]
    return msgspec.convert({**item, **fields}, AccountItem)


@pytest.mark.parametrize("plan", list(Plan))
def test_account_of_an_earlier_release_stays_as_it_was_until_its_streams_are_moved(signer, plan):
    item = signer.sign(earlier_item(signer, plan))
    assert item.own_streams is OwnStreams.IN_CLIENTS_ACCOUNT
    assert (item.own, own_calls(item)) == (None, set())
    assert limits(item.jwt) == plan_limits(plan)
    assert ("clients" in item.stream_accounts) == (plan is not Plan.FREE)
    moved = signer.sign(msgspec.structs.replace(item, own_streams=OwnStreams.MOVED))
    assert limits(moved.jwt) == (0, 0, 0)


def test_accounts_have_no_limits_while_streams_are_moved_between_them(signer):
    """What an earlier plan or release let clients store is not lost."""
    item = msgspec.structs.replace(earlier_item(signer, Plan.FREE), own_streams=OwnStreams.MOVING)
    item = signer.sign(item, create_own=True)
    assert limits(item.jwt) == limits(item.own.jwt) == (-1, -1, -1)
    assert own_calls(item) == set()
    assert item.stream_accounts.keys() == {"clients", "streams", "own"}


def test_account_is_signed_again_only_when_its_claims_change(signer):
    item = signer.build(TENANT, Plan.BASIC)
    changed = signer.sign(msgspec.structs.replace(item, own_roots=["jobs"]))
    assert (changed.jwt, changed.streams.jwt) == (item.jwt, item.streams.jwt)
    subjects = [each["subject"] for each in claims_of(changed.own.jwt)["imports"]]
    assert {"jobs", "jobs.>", "$KV.>", "$O.>", f"{TENANT}.>"} <= set(subjects)
    # Two imports of one subject would store its messages twice.
    agents = signer.sign(msgspec.structs.replace(item, own_roots=["agents"]))
    subjects = [each["subject"] for each in claims_of(agents.own.jwt)["imports"]]
    assert [each for each in subjects if each.startswith("agents")] == ["agents", "agents.>"]


class Broker(FakeSystemAccount):
    """Has no account that was looked up."""

    async def request(self, subject, data, *, timeout):
        if "CLAIMS.LOOKUP" in subject:
            return SimpleNamespace(data=b"")
        return await super().request(subject, data, timeout=timeout)


@pytest.fixture
def earlier(signer):
    """The accounts of a tenant of an earlier release."""
    store = FakeAccountStore()
    accounts = account_repository(store, Broker())
    store.items[TENANT] = earlier_item(signer, Plan.BASIC)
    return accounts


async def test_move_is_continued_only_after_the_instance_that_makes_it_had_its_time(earlier):
    await earlier.set_own_streams(TENANT, OwnStreams.MOVING, until=int(time.time()) + 60)
    assert earlier.index.moving == set()
    await earlier.set_own_streams(TENANT, OwnStreams.MOVING, until=int(time.time()) - 1)
    assert earlier.index.moving == {TENANT}


async def test_streams_that_were_moved_stay_so(earlier):
    await earlier.set_own_streams(TENANT, OwnStreams.MOVED)
    for state in OwnStreams:
        item = await earlier.set_own_streams(TENANT, state)
        assert item.own_streams is OwnStreams.MOVED


async def test_first_tokens_that_no_stream_uses_make_room_for_others(earlier):
    await earlier.set_own_streams(TENANT, OwnStreams.MOVED)

    async def uses(roots):
        return set(roots)

    first = {f"a{number}" for number in range(MAX_OWN_ROOTS)}
    assert await earlier.add_own_roots(TENANT, first, lambda: uses([]))
    assert not await earlier.add_own_roots(TENANT, {"b"}, lambda: uses(first))
    assert await earlier.add_own_roots(TENANT, {"b"}, lambda: uses(["a1", "a2"]))
    item = (await earlier.get_signing_account(TENANT)).item
    assert item.own_roots == ["a1", "a2", "b"]
