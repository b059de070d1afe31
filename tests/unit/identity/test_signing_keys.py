"""Signing keys of an organization end with their issuer's role, also those of earlier releases."""

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime

import msgspec
import nats.errors
import pytest

from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import Forbidden, InvalidCursor, ServiceUnavailable
from artcafe_common.contracts.identity.accounts import SigningKey, SigningKeyNotFound
from artcafe_common.contracts.tenancy.events import MembershipChanged
from artcafe_common.contracts.tenancy.members import Membership, ResolveMembership, Role
from artcafe_common.plans import Plan
from artcafe_common.storage.items import dump, load
from artcafe_identity.signing_keys import SigningKeyManager
from artcafe_identity.tables import AccountItem
from support.fakes.accounts import FakeAccountStore, FakeSystemAccount, account_repository
from support.fakes.bus import FakeBus
from support.fakes.ids import TENANT


class NoLimits:
    async def acquire_key(self, tenant_id):
        assert tenant_id == TENANT


class Identity:
    """The signing keys of one organization; `roles` are the current roles that tenancy knows."""

    def __init__(self):
        self.roles = {"ann": Role.ADMIN, "bob": Role.ADMIN, "eve": Role.MEMBER}
        self.store, self.system = FakeAccountStore(), FakeSystemAccount()
        self.bus = FakeBus({ResolveMembership: self._resolve})
        self.accounts = account_repository(self.store, self.system, self.bus)
        self.manager = SigningKeyManager(bus=self.bus, accounts=self.accounts, issuance_limits=NoLimits())

    def _resolve(self, command):
        role = self.roles.get(command.user_id)
        if role is None:
            return Forbidden()
        return Membership(tenant_id=TENANT, user_id=command.user_id, role=role, plan=Plan.FREE)

    def act_as(self, user_id, role=Role.ADMIN):
        set_caller(CallerContext(request_id="r", tenant_id=TENANT, actor=f"user:{user_id}", role=role.value))

    async def issue(self, user_id):
        self.act_as(user_id)
        return (await self.manager.issue()).nkey_public

    async def keys(self):
        self.act_as("bob")
        return (await self.manager.list_keys(None)).signing_keys

    async def change_role(self, user_id, role):
        event = MembershipChanged(
            tenant_id=TENANT, user_id=user_id, role=role, previous_role=self.roles[user_id]
        )
        self.roles[user_id] = role
        await self.manager.on_membership_changed(event)
        return event

    def accepted_keys(self):
        """The signing keys in the account that the broker has."""
        body = self.system.pushed[-1].split(".")[1]
        return json.loads(urlsafe_b64decode(body + "=="))["nats"]["signing_keys"]

    def actions(self):
        return [event.activity.action for event in self.bus.events]


@pytest.fixture
async def identity():
    made = Identity()
    await made.accounts.ensure(TENANT, Plan.FREE)
    return made


async def test_key_has_an_issuer_and_a_time(identity):
    public = await identity.issue("ann")
    (key,) = await identity.keys()
    assert (key.nkey_public, key.issued_by) == (public, "ann")
    assert abs((datetime.now(UTC) - key.issued_at).total_seconds()) < 5
    assert public in identity.accepted_keys()
    with pytest.raises(InvalidCursor):
        await identity.manager.list_keys("x")


async def test_new_key_replaces_the_old_one(identity):
    old, new = await identity.issue("ann"), await identity.issue("bob")
    assert [key.nkey_public for key in await identity.keys()] == [new]
    assert old not in identity.accepted_keys()
    assert identity.bus.events[-1].activity.metadata == {"nkey_public": new, "replaced": [old]}


@pytest.mark.parametrize(
    ("role", "reason"),
    [(None, "issuer_removed"), (Role.MEMBER, "issuer_demoted"), (Role.VIEWER, "issuer_demoted")],
)
async def test_key_ends_with_its_issuers_role(identity, role, reason):
    public = await identity.issue("ann")
    event = await identity.change_role("ann", role)
    assert await identity.keys() == []
    assert public not in identity.accepted_keys()
    entry = identity.bus.events[-1].activity
    assert (entry.action, entry.metadata["reason"]) == ("account.key_revoked", reason)
    # Events are delivered at least once.
    await identity.manager.on_membership_changed(event)
    assert identity.actions().count("account.key_revoked") == 1


async def test_changes_of_other_members_and_promotions_keep_the_key(identity):
    await identity.issue("ann")
    await identity.change_role("bob", None)
    await identity.change_role("eve", Role.VIEWER)
    await identity.change_role("ann", Role.OWNER)
    assert len(await identity.keys()) == 1


async def test_demoted_user_cannot_issue_with_an_outdated_role(identity):
    """The gateway's copy of a role may be seconds old."""
    identity.roles["ann"] = Role.MEMBER
    for role in (Role.MEMBER, None):
        identity.roles["ann"] = role
        with pytest.raises(Forbidden):
            await identity.issue("ann")
    assert await identity.keys() == []
    assert identity.actions() == []


async def test_user_demoted_while_the_key_is_issued_gets_none(identity):
    """The role is read, then it ends and its event is handled, then the key would be stored."""
    replace = identity.store.replace_account

    async def replace_after_demotion(item):
        identity.store.replace_account = replace
        await identity.change_role("ann", Role.MEMBER)
        return await replace(item)

    identity.store.replace_account = replace_after_demotion
    with pytest.raises(Forbidden):
        await identity.issue("ann")
    assert await identity.keys() == []


async def test_revoked_key_is_removed_and_recorded(identity):
    public = await identity.issue("ann")
    identity.act_as("bob")
    assert (await identity.manager.revoke(public)).issued_by == "ann"
    assert public not in identity.accepted_keys()
    assert identity.actions() == ["account.key_issued", "account.key_revoked"]
    with pytest.raises(SigningKeyNotFound):
        await identity.manager.revoke(public)


async def test_change_that_cannot_be_recorded_is_not_made(identity):
    public = await identity.issue("ann")
    identity.bus.publish_error = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await identity.issue("bob")
    with pytest.raises(ServiceUnavailable):
        await identity.manager.revoke(public)
    assert [key.nkey_public for key in await identity.keys()] == [public]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
async def test_other_roles_may_do_nothing(identity, role):
    public = await identity.issue("ann")
    identity.act_as("eve", role)
    for attempt in (
        identity.manager.issue,
        lambda: identity.manager.list_keys(None),
        lambda: identity.manager.revoke(public),
    ):
        with pytest.raises(Forbidden):
            await attempt()


async def test_key_of_an_earlier_release_ends_with_any_possible_issuer(identity):
    item = identity.store.items[TENANT]
    stored = dump(msgspec.structs.replace(item, tenant_keys=["AOLD"]))
    assert stored["tenant_keys"] == {"S": '["AOLD"]'}
    identity.store.items[TENANT] = load(AccountItem, stored)
    assert await identity.keys() == [SigningKey(nkey_public="AOLD")]
    # Members never issued keys.
    await identity.change_role("eve", None)
    assert len(await identity.keys()) == 1
    await identity.change_role("ann", Role.MEMBER)
    assert await identity.keys() == []


async def test_keys_survive_storing(identity):
    await identity.issue("ann")
    item = identity.store.items[TENANT]
    assert load(AccountItem, dump(item)).signing_keys == item.signing_keys


async def test_seed_of_a_stored_key_is_shown_although_the_broker_does_not_have_it_yet(identity):
    async def fail(*_args, **_kwargs):
        raise nats.errors.TimeoutError

    accept, identity.system.request = identity.system.request, fail
    public = await identity.issue("ann")
    assert [key.nkey_public for key in await identity.keys()] == [public]
    identity.system.request = accept
    pushed = len(identity.system.pushed)
    await identity.accounts.publish_postponed()
    assert len(identity.system.pushed) > pushed
