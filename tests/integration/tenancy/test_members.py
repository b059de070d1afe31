"""Members, their roles, and how people are invited."""

from datetime import UTC, datetime, timedelta

import pytest

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import Forbidden
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.tenancy.accounts import (
    CreateAccount,
    GetAccount,
    UpdateAccount,
)
from artcafe_common.contracts.tenancy.activity import ActivityType, ListActivity
from artcafe_common.contracts.tenancy.channels import (
    CreateChannel,
    DeleteChannel,
    GetChannel,
    ListChannels,
    UpdateChannel,
)
from artcafe_common.contracts.tenancy.clients import (
    CreateClient,
    DeleteClient,
    GetClient,
    ListClients,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.events import (
    MembershipChanged,
)
from artcafe_common.contracts.tenancy.invitations import (
    AcceptInvitation,
    CreateInvitation,
    DeclineInvitation,
    InvitationLimitReached,
    InvitationNotFound,
    ListInvitations,
    ListReceivedInvitations,
    RevokeInvitation,
)
from artcafe_common.contracts.tenancy.members import (
    AddMember,
    LastOwner,
    ListMembers,
    MemberExists,
    MemberNotFound,
    RemoveMember,
    ResolveMembership,
    Role,
    UpdateMember,
)
from artcafe_tenancy import invitation_table
from support.harness.tenancy import gather_outcomes
from support.waiting import eventually_equals


async def test_roles_restrict_commands(tenancy):
    owner = await tenancy.owner()
    client, channel = await owner.create_client(), await owner.create_channel()
    reads = (
        GetAccount(),
        ListMembers(),
        ListClients(),
        ListChannels(),
        GetClient(client_id=client.client_id),
        GetChannel(channel_id=channel.channel_id),
    )
    writes = (
        CreateClient(name="x"),
        UpdateClient(client_id=client.client_id, name="x"),
        RegenerateClientKey(client_id=client.client_id),
        DeleteClient(client_id=client.client_id),
        CreateChannel(name="x"),
        UpdateChannel(channel_id=channel.channel_id, name="x"),
        DeleteChannel(channel_id=channel.channel_id),
    )
    manages = (
        UpdateAccount(name="x"),
        AddMember(user_id="x"),
        UpdateMember(user_id=owner.user_id, role=Role.VIEWER),
        RemoveMember(user_id=owner.user_id),
    )
    viewer, member = await owner.add_member(Role.VIEWER), await owner.add_member(Role.MEMBER)
    for command in reads:
        await viewer(command)
    refusals = [(viewer, writes + manages), (member, manages)]
    outsider = tenancy.user()
    refusals.append((outsider, reads + writes + manages))
    refusals.append((outsider.acting_in(owner.tenant_id, ""), reads + writes + manages))
    for person, commands in refusals:
        for command in commands:
            with pytest.raises(Forbidden):
                await person(command)
    for command in (
        *writes[:3],
        CreateChannel(name="y"),
        UpdateChannel(channel_id=channel.channel_id, name="z"),
    ):
        if command != writes[1]:
            await member(command)


async def test_clients_and_services_cannot_change_an_organization(tenancy):
    owner = await tenancy.owner()

    async def call(actor, command):
        caller = CallerContext(request_id="test", tenant_id=owner.tenant_id, actor=actor, role="owner")
        return await tenancy.gateway.call(command, caller=caller)

    with pytest.raises(Forbidden):
        await call("client:c", ListClients())
    assert (await call("service:metering", GetAccount())).account_id == owner.tenant_id
    with pytest.raises(Forbidden):
        await call("service:metering", CreateClient(name="x"))
    with pytest.raises(Forbidden):
        await call("client:c", CreateAccount(name="x"))


async def test_member_is_added_updated_and_removed(tenancy):
    owner = await tenancy.owner()
    bob = await owner.add_member(Role.MEMBER)
    tenant_id = owner.tenant_id
    await tenancy.wait_for_event(
        MembershipChanged, tenant_id=tenant_id, user_id=bob.user_id, role=Role.MEMBER
    )
    with pytest.raises(MemberExists):
        await owner(AddMember(user_id=bob.user_id))
    assert (await owner(UpdateMember(user_id=bob.user_id, role=Role.VIEWER))).role is Role.VIEWER
    await tenancy.wait_for_event(
        MembershipChanged, tenant_id=tenant_id, user_id=bob.user_id, role=Role.VIEWER
    )
    roles = {owner.user_id: Role.OWNER, bob.user_id: Role.VIEWER}
    await eventually_equals(owner.list_roles, roles)
    assert (await owner(RemoveMember(user_id=bob.user_id))).user_id == bob.user_id
    await tenancy.wait_for_event(MembershipChanged, tenant_id=tenant_id, user_id=bob.user_id, role=None)
    for unknown in (bob.user_id, "", "u" * 3000):
        with pytest.raises(MemberNotFound):
            await owner(RemoveMember(user_id=unknown))
        with pytest.raises(MemberNotFound):
            await owner(UpdateMember(user_id=unknown, role=Role.VIEWER))
    with pytest.raises(Forbidden):
        await tenancy.gateway.call(ResolveMembership(user_id=bob.user_id, tenant_id=tenant_id))


async def test_only_owners_change_owners(tenancy):
    owner = await tenancy.owner()
    admin, member = await owner.add_member(Role.ADMIN), await owner.add_member(Role.MEMBER)
    for command in (
        AddMember(user_id="x", role=Role.OWNER),
        UpdateMember(user_id=member.user_id, role=Role.OWNER),
        UpdateMember(user_id=admin.user_id, role=Role.OWNER),
        UpdateMember(user_id=owner.user_id, role=Role.ADMIN),
        RemoveMember(user_id=owner.user_id),
    ):
        with pytest.raises(Forbidden):
            await admin(command)
    await admin(UpdateMember(user_id=member.user_id, role=Role.ADMIN))
    await owner(UpdateMember(user_id=member.user_id, role=Role.OWNER))
    await member.acting_in(owner.tenant_id, Role.OWNER)(UpdateMember(user_id=owner.user_id, role=Role.VIEWER))
    roles = {owner.user_id: Role.VIEWER, admin.user_id: Role.ADMIN, member.user_id: Role.OWNER}
    await eventually_equals(owner.list_roles, roles)


async def test_every_member_may_leave_except_the_last_owner(tenancy):
    owner = await tenancy.owner()
    viewer = await owner.add_member(Role.VIEWER)
    await viewer(RemoveMember(user_id=viewer.user_id))
    with pytest.raises(LastOwner):
        await owner(RemoveMember(user_id=owner.user_id))
    with pytest.raises(LastOwner):
        await owner(UpdateMember(user_id=owner.user_id, role=Role.ADMIN))
    assert (await owner(UpdateMember(user_id=owner.user_id, role=Role.OWNER))).role is Role.OWNER


@pytest.mark.parametrize("how", ["remove", "demote"])
async def test_concurrent_removal_of_two_owners_leaves_one(tenancy, how):
    ann = await tenancy.owner()
    for _ in range(3):
        bob = await ann.add_member(Role.OWNER)

        def undo(person):
            if how == "remove":
                return RemoveMember(user_id=person.user_id)
            return UpdateMember(user_id=person.user_id, role=Role.MEMBER)

        results, errors = await gather_outcomes(ann(undo(bob)), bob(undo(ann)))
        assert len(results) == 1
        assert errors == [LastOwner]
        owners = [person for person in (ann, bob) if await is_owner(tenancy, person)]
        assert len(owners) == 1
        (ann,) = owners


async def is_owner(tenancy, person):
    resolve = ResolveMembership(user_id=person.user_id, tenant_id=person.tenant_id)
    try:
        return (await tenancy.gateway.call(resolve)).role is Role.OWNER
    except Forbidden:
        return False


# -- invitations -----------------------------------------------------------------------------------


def new_email():
    return f"{new_id().lower()}@example.com"


async def received_by(person):
    """The invitations that a person finds; the list follows changes later."""
    return (await person(ListReceivedInvitations())).invitations


async def open_of(owner):
    return (await owner(ListInvitations())).invitations


async def test_invited_person_accepts(tenancy):
    owner, email = await tenancy.owner(), new_email()
    invitation = await owner(CreateInvitation(email=email.upper(), role=Role.ADMIN))
    assert (invitation.email, invitation.role) == (email, Role.ADMIN)
    assert timedelta(days=6, hours=23) < invitation.expires_at - now() <= timedelta(days=7)
    bob, eve = await tenancy.person(email), await tenancy.person(new_email())

    async def found():
        return [each.invitation_id for each in await received_by(bob)]

    await eventually_equals(found, [invitation.invitation_id])
    (received,) = await received_by(bob)
    assert (received.account_id, received.account_name, received.role) == (
        owner.tenant_id,
        "Acme",
        Role.ADMIN,
    )
    # To know the id is not enough.
    assert await received_by(eve) == []
    for command in (AcceptInvitation, DeclineInvitation):
        with pytest.raises(InvitationNotFound):
            await eve(command(invitation_id=invitation.invitation_id))
    organization = await bob(AcceptInvitation(invitation_id=invitation.invitation_id))
    assert (organization.account_id, organization.role) == (owner.tenant_id, Role.ADMIN)
    await tenancy.wait_for_event(
        MembershipChanged, tenant_id=owner.tenant_id, user_id=bob.user_id, role=Role.ADMIN
    )
    roles = {owner.user_id: Role.OWNER, bob.user_id: Role.ADMIN}
    await eventually_equals(owner.list_roles, roles)
    with pytest.raises(InvitationNotFound):
        await bob(AcceptInvitation(invitation_id=invitation.invitation_id))
    assert await open_of(owner) == []
    again = await owner(CreateInvitation(email=email))
    with pytest.raises(MemberExists):
        await bob(AcceptInvitation(invitation_id=again.invitation_id))
    log = (await owner(ListActivity(type=ActivityType.MEMBER))).logs
    actions = {each.action: (each.actor, each.metadata["email"]) for each in log}
    assert actions["invitation.accepted"] == (f"user:{bob.user_id}", email)
    assert actions["invitation.created"] == (f"user:{owner.user_id}", email)


async def test_address_that_is_not_verified_receives_nothing(tenancy):
    owner, email = await tenancy.owner(), new_email()
    invitation = await owner(CreateInvitation(email=email))
    for verified in (None, False):
        person = await tenancy.person(email, verified=verified)
        assert await received_by(person) == []
        with pytest.raises(InvitationNotFound):
            await person(AcceptInvitation(invitation_id=invitation.invitation_id))
    # Verified once, and then another address of which nothing is known.
    person = await tenancy.person(new_email())
    await tenancy.record_details(person, email, verified=None)
    with pytest.raises(InvitationNotFound):
        await person(AcceptInvitation(invitation_id=invitation.invitation_id))
    with pytest.raises(InvitationNotFound):
        await tenancy.user()(AcceptInvitation(invitation_id=invitation.invitation_id))


async def test_invitation_is_revoked_declined_and_replaced(tenancy):
    owner, email = await tenancy.owner(), new_email()
    bob = await tenancy.person(email)
    first = await owner(CreateInvitation(email=email))
    second = await owner(CreateInvitation(email=email, role=Role.VIEWER))
    assert [each.invitation_id for each in await open_of(owner)] == [second.invitation_id]
    with pytest.raises(InvitationNotFound):
        await bob(AcceptInvitation(invitation_id=first.invitation_id))
    assert (await owner(RevokeInvitation(invitation_id=second.invitation_id))).email == email
    third = await owner(CreateInvitation(email=email))
    declined = await bob(DeclineInvitation(invitation_id=third.invitation_id))
    assert declined.account_id == owner.tenant_id
    for invitation in (second, third):
        with pytest.raises(InvitationNotFound):
            await owner(RevokeInvitation(invitation_id=invitation.invitation_id))
        with pytest.raises(InvitationNotFound):
            await bob(AcceptInvitation(invitation_id=invitation.invitation_id))
    other = await tenancy.owner()
    foreign = await other(CreateInvitation(email=email))
    with pytest.raises(InvitationNotFound):
        await owner(RevokeInvitation(invitation_id=foreign.invitation_id))


async def test_invitation_needs_the_rights_of_who_invited(tenancy):
    owner, email = await tenancy.owner(), new_email()
    admin, member = await owner.add_member(Role.ADMIN), await owner.add_member(Role.MEMBER)
    for person, command in (
        (member, CreateInvitation(email=email)),
        (member, ListInvitations()),
        (member, RevokeInvitation(invitation_id="x")),
        (admin, CreateInvitation(email=email, role=Role.OWNER)),
    ):
        with pytest.raises(Forbidden):
            await person(command)
    # An admin cannot touch what only an owner may give.
    invitation = await owner(CreateInvitation(email=email, role=Role.OWNER))
    for command in (
        CreateInvitation(email=email),
        RevokeInvitation(invitation_id=invitation.invitation_id),
    ):
        with pytest.raises(Forbidden):
            await admin(command)
    # Void once the admin who invited is no longer one.
    email = new_email()
    bob = await tenancy.person(email)
    invitation = await admin(CreateInvitation(email=email))
    await owner(UpdateMember(user_id=admin.user_id, role=Role.MEMBER))
    assert await received_by(bob) == []
    with pytest.raises(InvitationNotFound):
        await bob(AcceptInvitation(invitation_id=invitation.invitation_id))


async def test_open_invitations_are_bounded_and_expire(tenancy, monkeypatch):
    monkeypatch.setattr(invitation_table, "MAX_INVITATIONS", 2)
    owner, emails = await tenancy.owner(), [new_email() for _ in range(3)]
    for email in emails[:2]:
        await owner(CreateInvitation(email=email))
    with pytest.raises(InvitationLimitReached):
        await owner(CreateInvitation(email=emails[2]))
    invitation = await owner(CreateInvitation(email=emails[0]))
    bob = await tenancy.person(emails[0])
    monkeypatch.setattr(
        invitation_table.clock, "now", lambda: datetime.now(UTC) + timedelta(days=7, seconds=1)
    )
    assert await open_of(owner) == []
    with pytest.raises(InvitationNotFound):
        await bob(AcceptInvitation(invitation_id=invitation.invitation_id))
