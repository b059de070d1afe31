"""A push to the broker never leaves it with an older version of an account than the stored one."""

import asyncio
import base64
import re
import time
from types import SimpleNamespace

import msgspec
import nats.errors
import pytest

from artcafe_common.broker.claims import claims_of
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.accounts import AccountUpdated, SigningKey
from artcafe_common.plans import Plan
from artcafe_identity import account_reconciler as reconciler_module
from artcafe_identity import account_repository as repository_module
from support.fakes.accounts import FakeAccountStore, account_reconciler
from support.fakes.ids import TENANT

PAGE = 4


class Broker:
    """The accounts that the broker has; `before_push` runs once, before it accepts the next one."""

    def __init__(self):
        self.accounts = {}
        self.history = []
        self.before_push = None
        # What requests do: nothing else, hang, or get rejected for one account.
        self.hangs = self.is_away = False
        self.rejects = None
        self.running = self.lookups = 0

    async def request(self, subject, data, *, timeout):
        assert timeout > 0
        if self.is_away:
            raise nats.errors.TimeoutError
        if self.hangs:
            self.running += 1
            try:
                await asyncio.sleep(0.05)
            finally:
                self.running -= 1
            raise nats.errors.TimeoutError
        if found := re.fullmatch(r"\$SYS\.REQ\.ACCOUNT\.(\w+)\.CLAIMS\.LOOKUP", subject):
            self.lookups += 1
            return SimpleNamespace(data=self.accounts.get(found[1], "").encode())
        callback, self.before_push = self.before_push, None
        if callback is not None:
            await callback()
        jwt = data.decode()
        if _account_of(jwt) == self.rejects:
            return SimpleNamespace(data=b'{"error":{"code":500}}')
        self.accounts[_account_of(jwt)] = jwt
        self.history.append(jwt)
        return SimpleNamespace(data=b'{"data":{"code":200}}')


def _account_of(jwt):
    """The public key of the account that a JWT is for."""
    body = jwt.split(".")[1]
    return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"]


class Store(FakeAccountStore):
    """As the real one; `listed` is a list that was read earlier."""

    listed = None

    async def account_pages(self):
        items = list(self.items.values()) if self.listed is None else self.listed
        for start in range(0, len(items), PAGE):
            yield items[start : start + PAGE]


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
async def reconciler_and_accounts(broker, store):
    reconciler, accounts = account_reconciler(store, broker)
    await accounts.ensure(TENANT, Plan.FREE)
    return reconciler, accounts


@pytest.fixture
def reconciler(reconciler_and_accounts):
    return reconciler_and_accounts[0]


@pytest.fixture
def accounts(reconciler_and_accounts):
    return reconciler_and_accounts[1]


async def set_keys(accounts, *publics):
    async def change(_keys):
        return [SigningKey(nkey_public=public) for public in publics]

    await accounts.change_tenant_keys(TENANT, change)


def accepted_keys(broker, store):
    return claims_of(broker.accounts[store.items[TENANT].account])["signing_keys"]


async def test_reconciling_an_old_list_does_not_bring_back_a_revoked_key(reconciler, accounts, broker, store):
    revoked = create_key_pair(KeyKind.ACCOUNT).public
    await set_keys(accounts, revoked)
    store.listed = [store.items[TENANT]]
    await set_keys(accounts)
    pushed = len(broker.history)
    await reconciler.reconcile()
    assert revoked not in accepted_keys(broker, store)
    assert not any(revoked in claims_of(jwt)["signing_keys"] for jwt in broker.history[pushed:])


async def test_change_that_was_pushed_first_is_not_overwritten_by_an_older_one(accounts, broker, store):
    first, second = (create_key_pair(KeyKind.ACCOUNT).public for _ in range(2))

    async def change_meanwhile():
        await set_keys(accounts, second)

    broker.before_push = change_meanwhile
    await set_keys(accounts, first)
    assert second in accepted_keys(broker, store)
    assert first not in accepted_keys(broker, store)


async def test_stored_change_succeeds_without_the_broker_and_is_pushed_later(accounts, broker, store):
    key = create_key_pair(KeyKind.ACCOUNT).public
    broker.is_away = True
    await set_keys(accounts, key)
    await accounts.publish_postponed()
    assert key not in accepted_keys(broker, store)
    broker.is_away = False
    await accounts.publish_postponed()
    assert key in accepted_keys(broker, store)
    pushed = len(broker.history)
    await accounts.publish_postponed()
    assert len(broker.history) == pushed


async def test_stored_change_does_not_wait_for_a_broker_that_hangs(accounts, broker, store, monkeypatch):
    monkeypatch.setattr(repository_module, "PUBLISH_WAIT_S", 0.01)
    key = create_key_pair(KeyKind.ACCOUNT).public
    broker.hangs = True
    await set_keys(accounts, key)
    broker.hangs = False
    await accounts.publish_postponed()
    assert key in accepted_keys(broker, store)


async def test_comparison_leaves_no_task_behind_and_gives_up_soon(reconciler, accounts, broker, monkeypatch):
    monkeypatch.setattr(reconciler_module, "MAX_CONCURRENT_PUSHES", 3)
    for number in range(30):
        await accounts.ensure(f"tenant-{number}", Plan.FREE)
    broker.hangs = True
    before = asyncio.all_tasks()
    with pytest.raises(ServiceUnavailable):
        await asyncio.wait_for(reconciler.reconcile(), 0.5)
    assert broker.running == 0
    left = asyncio.all_tasks() - before
    assert not any("AccountReconciler" in each.get_coro().__qualname__ for each in left)


async def test_account_that_the_broker_rejects_keeps_no_other_from_being_pushed(
    reconciler, accounts, broker, store
):
    await accounts.ensure("other", Plan.FREE)
    broker.rejects = store.items[TENANT].account
    broker.accounts.clear()
    # Identity starts with a reconciliation, so it must not fail for one account.
    await reconciler.reconcile()
    assert store.items["other"].account in broker.accounts
    assert await reconciler.compare(push=False) == {TENANT: True, "other": False}


async def test_account_that_another_instance_changed_is_pushed_for_it(reconciler, accounts, broker, store):
    """That instance may have ended between storing and pushing it."""
    key = create_key_pair(KeyKind.ACCOUNT).public
    pushed = dict(broker.accounts)
    await set_keys(accounts, key)
    broker.accounts = pushed
    await accounts.on_updated(AccountUpdated(tenant_id=TENANT))
    await reconciler.reconcile_changed()
    assert key in accepted_keys(broker, store)
    broker.lookups = 0
    await reconciler.reconcile_changed()
    assert broker.lookups == 0


async def test_comparison_of_many_accounts_leaves_the_processor_to_others(reconciler, accounts, monkeypatch):
    for number in range(3 * PAGE):
        await accounts.ensure(f"tenant-{number}", Plan.FREE)
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    clock = SimpleNamespace(monotonic=time.monotonic, process_time=iter(range(1_000)).__next__)
    monkeypatch.setattr(reconciler_module, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(reconciler_module, "time", clock)
    await reconciler.reconcile()
    assert pauses == [reconciler_module.MAX_PAUSE_S] * 4
    # A broker that lost its accounts gets them back without pauses, and an operator's reconciler makes none.
    pauses.clear()
    monkeypatch.setattr(reconciler._broker, "differs", _differs)
    await reconciler.reconcile()
    assert pauses == []


async def _differs(_item):
    return True


async def test_facts_of_accounts_are_known_from_their_change_until_they_are_deleted(
    reconciler, accounts, store
):
    item = await accounts.ensure("other", Plan.FREE)
    assert accounts.index.clients_accounts == {
        TENANT: store.items[TENANT].account,
        "other": item.account,
    }
    # Deleted by another instance.
    del store.items["other"]
    await reconciler.reconcile()
    assert accounts.index.clients_accounts.keys() == {TENANT}
