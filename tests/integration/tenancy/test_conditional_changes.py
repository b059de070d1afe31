"""Changes on condition of a version: of several that name the same version, one is applied."""

import pytest

from artcafe_common.contracts.tenancy.accounts import GetAccount, UpdateAccount
from artcafe_common.contracts.tenancy.channels import DeleteChannel, GetChannel, UpdateChannel
from artcafe_common.contracts.tenancy.clients import (
    DeleteClient,
    GetClient,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.conditional import NEVER, PreconditionFailed
from artcafe_common.contracts.tenancy.members import RemoveMember, Role, UpdateMember
from artcafe_common.contracts.tenancy.profiles import (
    GetPreferences,
    GetProfile,
    Theme,
    UpdatePreferences,
    UpdateProfile,
)
from artcafe_common.plans import Plan
from support.harness.tenancy import gather_outcomes

EDITORS = 6


async def edit_at_once(actor, command, version, value):
    """Change one version of a resource several times at once; returns the value that was stored."""
    results, errors = await gather_outcomes(
        *(actor(command(if_match=(version,), **{value: f"editor {n}"})) for n in range(EDITORS))
    )
    assert (len(results), errors) == (1, [PreconditionFailed] * (EDITORS - 1))
    return getattr(results[0], value)


async def test_one_of_several_concurrent_edits_of_a_version_is_stored(tenancy):
    owner = await tenancy.owner(Plan.BASIC)
    channel, client = await owner.create_channel(), await owner.create_client()
    account = await owner(GetAccount())

    def update_channel(**fields):
        return UpdateChannel(channel_id=channel.channel_id, **fields)

    def update_client(**fields):
        return UpdateClient(client_id=client.client_id, **fields)

    stored = await edit_at_once(owner, update_channel, channel.updated_at, "description")
    assert (await owner(GetChannel(channel_id=channel.channel_id))).description == stored
    stored = await edit_at_once(owner, update_client, client.updated_at, "name")
    assert (await owner(GetClient(client_id=client.client_id))).name == stored
    stored = await edit_at_once(owner, UpdateAccount, account.updated_at, "description")
    assert (await owner(GetAccount())).description == stored
    stored = await edit_at_once(owner, UpdateProfile, NEVER, "name")
    assert (await owner(GetProfile())).name == stored


async def test_preferences_and_profile_have_one_version(tenancy):
    user = tenancy.user()
    first = await user(UpdatePreferences(theme=Theme.DARK, if_match=(NEVER,)))
    with pytest.raises(PreconditionFailed):
        await user(UpdatePreferences(theme=Theme.LIGHT, if_match=(NEVER,)))
    await user(UpdateProfile(name="Ada", if_match=(first.updated_at,)))
    with pytest.raises(PreconditionFailed):
        await user(UpdatePreferences(theme=Theme.LIGHT, if_match=(first.updated_at,)))
    assert (await user(GetPreferences())).theme is Theme.DARK


async def test_outdated_version_cannot_be_deleted(tenancy):
    owner = await tenancy.owner(Plan.BASIC)
    channel, client = await owner.create_channel(), await owner.create_client()
    await owner(RegenerateClientKey(client_id=client.client_id))
    renamed = await owner(UpdateChannel(channel_id=channel.channel_id, name="later"))
    with pytest.raises(PreconditionFailed):
        await owner(DeleteClient(client_id=client.client_id, if_match=(client.updated_at,)))
    with pytest.raises(PreconditionFailed):
        await owner(DeleteChannel(channel_id=channel.channel_id, if_match=(channel.updated_at,)))
    assert (await owner(GetChannel(channel_id=channel.channel_id))).name == "later"
    versions = (channel.updated_at, renamed.updated_at)
    await owner(DeleteChannel(channel_id=channel.channel_id, if_match=versions))
    await owner(DeleteClient(client_id=client.client_id))


async def test_role_that_was_changed_meanwhile_is_kept(tenancy):
    owner = await tenancy.owner()
    member = await owner.add_member(Role.VIEWER)
    first = await owner(UpdateMember(user_id=member.user_id, role=Role.MEMBER))
    second = await owner(UpdateMember(user_id=member.user_id, role=Role.ADMIN, if_match=(first.updated_at,)))
    with pytest.raises(PreconditionFailed):
        await owner(UpdateMember(user_id=member.user_id, role=Role.VIEWER, if_match=(first.updated_at,)))
    with pytest.raises(PreconditionFailed):
        await owner(RemoveMember(user_id=member.user_id, if_match=(first.updated_at,)))
    await owner(RemoveMember(user_id=member.user_id, if_match=(second.updated_at,)))
