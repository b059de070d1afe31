"""Organizations: creation, changes, plans and pages."""

import pytest

from artcafe_common.bus.errors import CommandError, Forbidden, InvalidCursor, InvalidRequest, StoreUnavailable
from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.accounts import (
    ChangePlan,
    CreateAccount,
    GetAccount,
    ListAccounts,
    OrganizationLimitReached,
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
    RemoveMember,
    ResolveMembership,
    Role,
    TenantRequired,
)
from artcafe_common.dev.stack import REGION
from artcafe_common.plans import LIMITS, Plan
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table import Table
from artcafe_tenancy.tables import PROFILES
from support.harness.tenancy import gather_outcomes, tampered
from support.waiting import eventually_equals

LIMIT = 10


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
    await eventually_equals(owner.list_roles, {ann.user_id: Role.OWNER})
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


async def create_until_refused(user, at_most=30):
    """How many organizations a user can create."""
    for number in range(at_most):
        try:
            await user(CreateAccount(name=f"Acme {number}"))
        except OrganizationLimitReached:
            return number
    return at_most


async def test_organizations_of_one_person_are_limited(tenancy):
    ann, bob = tenancy.user(), tenancy.user()
    before = len(tenancy.identity.plans)
    assert await create_until_refused(ann) == LIMIT
    # A refused organization has no broker account either.
    assert len(tenancy.identity.plans) == before + LIMIT
    assert await create_until_refused(bob) == LIMIT


async def test_concurrent_creations_do_not_exceed_the_limit(tenancy):
    ann = tenancy.user()
    for number in range(LIMIT - 3):
        await ann(CreateAccount(name=f"Acme {number}"))
    created, refused = await gather_outcomes(*(ann(CreateAccount(name="Acme")) for _ in range(8)))
    # Under contention a creation may fail, but none may succeed beyond the limit.
    assert set(refused) <= {OrganizationLimitReached, StoreUnavailable}
    assert 1 <= len(created) <= 3
    assert len((await ann(ListAccounts(limit=50))).accounts) == LIMIT - 3 + len(created)


async def test_leaving_and_being_invited_change_nothing(tenancy):
    ann, eve = tenancy.user(), await tenancy.owner()
    # Anybody can make anybody an owner: it must not use up the other person's organizations.
    for _ in range(LIMIT):
        await (await tenancy.owner())(AddMember(user_id=ann.user_id, role=Role.OWNER))
    mine = await ann(CreateAccount(name="Mine"))
    owner = ann.acting_in(mine.account_id, Role.OWNER)
    await owner(AddMember(user_id=eve.user_id, role=Role.OWNER))
    await owner(RemoveMember(user_id=ann.user_id))
    assert await create_until_refused(ann) == LIMIT - 1


async def test_organizations_of_an_earlier_release_count_and_stay(tenancy):
    ann = tenancy.user()
    for number in range(LIMIT):
        await ann(CreateAccount(name=f"Acme {number}"))
    async with Database(region=REGION, prefix="artcafe-") as database:
        profiles = Table(database, PROFILES)
        await profiles.update(ann.user_id, set_={"organizations_count": None})
        assert await create_until_refused(ann) == 0
        accounts = (await ann(ListAccounts(limit=50))).accounts
        assert len(accounts) == LIMIT
        # One that was given away is not counted.
        gone = ann.acting_in(accounts[0].account_id, Role.OWNER)
        other = tenancy.user()
        await gone(AddMember(user_id=other.user_id, role=Role.OWNER))
        await gone(RemoveMember(user_id=ann.user_id))
        assert await create_until_refused(ann) == 1
        assert (await profiles.get(ann.user_id, consistent=True)).organizations_count == LIMIT


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


async def test_plan_change_is_stored_and_announced_although_identity_is_down(tenancy):
    owner = await tenancy.owner()
    tenancy.identity.down = True
    try:
        change = ChangePlan(tenant_id=owner.tenant_id, plan=Plan.PRO)
        assert (await tenancy.call_as_operator(change)).plan is Plan.PRO
    finally:
        tenancy.identity.down = False
    # Identity sets the broker's limits when it receives this.
    await tenancy.wait_for_event(PlanChanged, tenant_id=owner.tenant_id, plan=Plan.PRO)
