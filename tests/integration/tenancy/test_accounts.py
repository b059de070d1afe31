"""Organizations: creation, changes, plans and pages."""

import pytest

from artcafe_common.bus.errors import CommandError, Forbidden, InvalidCursor, InvalidRequest, StoreUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.accounts import (
    ChangePlan,
    CreateAccount,
    GetAccount,
    ListAccounts,
    UpdateAccount,
)
from artcafe_common.contracts.tenancy.channels import (
    CreateChannel,
)
from artcafe_common.contracts.tenancy.clients import (
    CreateClient,
)
from artcafe_common.contracts.tenancy.events import (
    PlanChanged,
)
from artcafe_common.contracts.tenancy.members import (
    AddMember,
    ListMembers,
    ResolveMembership,
    Role,
    TenantRequired,
)
from artcafe_common.plans import LIMITS, Plan
from support.harness.tenancy import tampered


async def test_account_is_created_and_updated(tenancy):
    ann = tenancy.user()
    created = await ann(
        CreateAccount(name="Acme", description="d", metadata={"a": [1]}, email="ann@example.com")
    )
    assert (created.name, created.role, created.plan, created.limits) == (
        "Acme",
        Role.OWNER,
        Plan.FREE,
        LIMITS[Plan.FREE],
    )
    assert tenancy.identity.plans[created.account_id] is Plan.FREE
    assert (await ann(ListAccounts())).accounts == [created]
    owner = ann.acting_in(created.account_id, Role.OWNER)
    assert await owner(GetAccount()) == created
    (member,) = (await owner(ListMembers())).members
    assert (member.user_id, member.email, member.role) == (ann.user_id, "ann@example.com", Role.OWNER)

    changed = await owner(UpdateAccount(description=""))
    assert (changed.name, changed.description, changed.metadata) == ("Acme", "", {"a": [1]})
    assert changed.updated_at > created.updated_at
    admin = await owner.add_member(Role.ADMIN)
    assert (await admin(UpdateAccount(name="Acme 2"))).role is Role.ADMIN
    assert (await owner(GetAccount())).name == "Acme 2"


async def test_failed_broker_account_creates_no_account(tenancy):
    ann = tenancy.user()
    tenancy.identity.down = True
    try:
        with pytest.raises(StoreUnavailable):
            await ann(CreateAccount(name="Acme"))
    finally:
        tenancy.identity.down = False
    assert (await ann(ListAccounts())).accounts == []


async def test_invalid_field_is_named_in_the_error(tenancy):
    owner = await tenancy.owner()
    for command in (
        UpdateAccount(metadata={"x": "a" * 17000}),
        CreateClient(name="x", metadata={"x": "a" * 17000}),
        CreateChannel(name="x", metadata={"x": "a" * 17000}),
    ):
        with pytest.raises(InvalidRequest) as error:
            await owner(command)
        assert [each.field for each in error.value.errors] == ["metadata"]
    with pytest.raises(InvalidRequest) as error:
        await owner(CreateChannel(name="a\x00b"))
    assert [each.field for each in error.value.errors] == ["name"]


async def test_membership_is_resolved_for_a_user(tenancy):
    ann = await tenancy.owner()
    bob = await tenancy.owner()

    def resolve(user, tenant_id=None):
        return tenancy.gateway.call(ResolveMembership(user_id=user, tenant_id=tenant_id))

    only = await resolve(ann.user_id)
    assert (only.tenant_id, only.role, only.plan) == (ann.tenant_id, Role.OWNER, Plan.FREE)
    assert await resolve(ann.user_id, ann.tenant_id) == only

    answers = []
    for tenant_id in (bob.tenant_id, new_id(), "", "junk", "x" * 5000, f"{ann.tenant_id}\n"):
        with pytest.raises(Forbidden) as error:
            await resolve(ann.user_id, tenant_id)
        answers.append((error.value.code, error.value.detail, error.value.errors))
    assert len(set(answers)) == 1
    for unknown in ("nobody", "", "u" * 3000):
        with pytest.raises(Forbidden):
            await resolve(unknown)
    await bob(AddMember(user_id=ann.user_id, role=Role.VIEWER))
    with pytest.raises(TenantRequired):
        await resolve(ann.user_id)
    assert (await resolve(ann.user_id, bob.tenant_id)).role is Role.VIEWER


async def test_accounts_are_listed_in_pages_of_one_user(tenancy):
    ann, bob = tenancy.user(), tenancy.user()
    created = [await ann(CreateAccount(name=f"Acme {n}")) for n in range(5)]
    seen, cursor = [], None
    while True:
        page = await ann(ListAccounts(limit=2, cursor=cursor))
        seen += page.accounts
        cursor = page.next_cursor
        if cursor is None:
            break
        for other, stolen in ((bob, cursor), (ann, tampered(cursor)), (ann, "junk")):
            with pytest.raises(InvalidCursor):
                await other(ListAccounts(cursor=stolen))
    assert sorted(a.account_id for a in seen) == sorted(a.account_id for a in created)


async def test_only_an_operator_changes_the_plan(tenancy):
    owner = await tenancy.owner()
    changed = await tenancy.call_as_operator(ChangePlan(tenant_id=owner.tenant_id, plan=Plan.PRO))
    assert (changed.plan, changed.limits.clients) == (Plan.PRO, 50)
    assert tenancy.identity.plans[owner.tenant_id] is Plan.PRO
    await tenancy.wait_for_event(PlanChanged, tenant_id=owner.tenant_id, plan=Plan.PRO)
    with pytest.raises(Forbidden):
        await owner(ChangePlan(tenant_id=owner.tenant_id, plan=Plan.ENTERPRISE))
    for unknown in (new_id(), "junk", ""):
        with pytest.raises(CommandError) as error:
            await tenancy.call_as_operator(ChangePlan(tenant_id=unknown, plan=Plan.PRO))
        assert error.value.code == "account_not_found"
