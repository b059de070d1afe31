"""The deletion of organizations, with services that confirm that they deleted their data."""

from datetime import timedelta

import pytest

from artcafe_common import clock
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.identity.clients import AccountDeleted
from artcafe_common.contracts.tenancy.accounts import (
    AccountNotFound,
    AccountStatus,
    CreateAccount,
    DeleteAccount,
    GetAccount,
    ListAccounts,
    RestoreAccount,
    SetAccountStatus,
)
from artcafe_common.contracts.tenancy.channels import ListChannels
from artcafe_common.contracts.tenancy.conditional import PreconditionFailed
from artcafe_common.contracts.tenancy.events import AccountDataDeleted, AccountExpired, AccountStatusChanged
from artcafe_common.contracts.tenancy.members import ListMembers, ResolveMembership, Role
from artcafe_common.contracts.tenancy.subjects import CreateSubject
from artcafe_common.dev.stack import REGION
from artcafe_common.plans import Plan
from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.deletion_table import RETRY, ROUND_PAUSE, SERVICES
from artcafe_tenancy.tables import TABLES
from support.waiting import eventually

GRACE = timedelta(days=7)


@pytest.fixture
def move_clock(monkeypatch):
    """Moves tenancy's clock; times add up."""
    moved = timedelta()
    real = clock.now

    def move(by):
        nonlocal moved
        moved += by

    monkeypatch.setattr(clock, "now", lambda: real() + moved)
    return move


async def _filled_organization(user):
    account = await user(CreateAccount(name="Acme"))
    owner = user.acting_in(account.account_id, Role.OWNER)
    await owner.create_client()
    await owner.create_channel()
    await owner(CreateSubject(name="orders", pattern="orders.>"))
    await owner.add_member(Role.ADMIN)
    return owner


async def _list_items(tenant_id):
    """The table and the key of every item that names a tenant."""
    found = []
    async with Database(region=REGION, prefix="artcafe-") as database:
        for spec in TABLES:
            page = await database.call("scan", TableName=f"artcafe-{spec.name}", ConsistentRead=True)
            assert "LastEvaluatedKey" not in page
            found += [
                (spec.name, next(iter(item[spec.partition].values())))
                for item in page["Items"]
                if tenant_id in str(item)
            ]
    return sorted(found)


async def _confirm(tenancy, tenant_id, number, services=SERVICES):
    for service in services:
        event = AccountDataDeleted(tenant_id=tenant_id, round=number, service=service)
        await tenancy.gateway.publish(event)


async def test_owner_deletes_and_restores(tenancy):
    ann = tenancy.user()
    owner = await _filled_organization(ann)
    admin = await owner.add_member(Role.ADMIN)
    before = await owner(GetAccount())
    for command in (DeleteAccount(), RestoreAccount()):
        with pytest.raises(Forbidden):
            await admin(command)
    with pytest.raises(PreconditionFailed):
        await owner(DeleteAccount(if_match=(before.updated_at - timedelta(seconds=1),)))
    deleted = await owner(DeleteAccount(if_match=(before.updated_at,)))
    assert deleted.status is AccountStatus.DELETED
    assert timedelta(0) <= deleted.deletion_at - before.updated_at - GRACE < timedelta(seconds=30)
    assert await owner(DeleteAccount()) == deleted
    assert (await ann(ListAccounts())).accounts == [deleted]
    await tenancy.wait_for_event(
        AccountStatusChanged, tenant_id=owner.tenant_id, status=AccountStatus.DELETED
    )
    resolve = ResolveMembership(user_id=ann.user_id, tenant_id=owner.tenant_id)
    with pytest.raises(AccountDeleted):
        await ann(resolve)
    still = ResolveMembership(user_id=ann.user_id, tenant_id=owner.tenant_id, include_deleted=True)
    assert (await ann(still)).role is Role.OWNER

    # The operator's suspension comes first, and does not end the deletion.
    for status, shown in ((AccountStatus.SUSPENDED, "suspended"), (AccountStatus.ACTIVE, "deleted")):
        await tenancy.call_as_operator(SetAccountStatus(tenant_id=owner.tenant_id, status=status))
        assert (await owner(GetAccount())).status == shown

    restored = await owner(RestoreAccount())
    assert (restored.status, restored.deletion_at) == (AccountStatus.ACTIVE, None)
    assert await owner(RestoreAccount()) == restored
    await tenancy.wait_for_event(AccountStatusChanged, tenant_id=owner.tenant_id, status=AccountStatus.ACTIVE)
    assert (await ann(resolve)).role is Role.OWNER
    assert (await owner(DeleteAccount())).deletion_at > deleted.deletion_at


async def test_expired_organization_is_deleted_when_all_services_have_deleted_theirs(tenancy, move_clock):
    ann = tenancy.user()
    owner, other = [await _filled_organization(ann) for _ in range(2)]
    untouched = await _list_items(other.tenant_id)
    await owner(DeleteAccount())
    move_clock(GRACE)
    await tenancy.wait_for_event(AccountExpired, tenant_id=owner.tenant_id, round=1)
    for command in (GetAccount(), RestoreAccount()):
        with pytest.raises(AccountNotFound):
            await owner(command)
    with pytest.raises(Forbidden):
        await ann(ResolveMembership(user_id=ann.user_id, tenant_id=owner.tenant_id, include_deleted=True))
    assert [each.account_id for each in (await ann(ListAccounts())).accounts] == [other.tenant_id]

    # While one service does not confirm, it is asked again, and tenancy deletes nothing.
    await _confirm(tenancy, owner.tenant_id, 1, SERVICES[:-1])
    tenancy.events.clear()
    move_clock(RETRY)
    await tenancy.wait_for_event(AccountExpired, tenant_id=owner.tenant_id, round=1)
    assert len(await _list_items(owner.tenant_id)) > 10
    await _confirm(tenancy, owner.tenant_id, 1)
    deletion = ("activity-logs", f"deletion#{owner.tenant_id}")

    async def only_the_deletion_remains():
        return await _list_items(owner.tenant_id) == [deletion]

    await eventually(only_the_deletion_remains, within=15)

    # A confirmation of the first round does not count for the second.
    await _confirm(tenancy, owner.tenant_id, 1)
    move_clock(ROUND_PAUSE)
    await tenancy.wait_for_event(AccountExpired, tenant_id=owner.tenant_id, round=2)
    assert await _list_items(owner.tenant_id) == [deletion]
    await _confirm(tenancy, owner.tenant_id, 2)

    async def nothing_remains():
        return await _list_items(owner.tenant_id) == []

    await eventually(nothing_remains, within=15)
    assert await _list_items(other.tenant_id) == untouched
    assert len((await other(ListChannels())).channels) == 1
    assert len((await other(ListMembers())).members) == 2
    assert (await other(GetAccount())).plan is Plan.FREE
