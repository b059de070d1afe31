"""An organization's signing key does not outlive the role of the person who issued it."""

import nats
import pytest

from support.activity import wait_for_entries
from support.actors import Tenant, User
from support.signing_keys import account_of, connect_minted_user
from support.tokens import decode_claims
from support.waiting import eventually


async def add_member(tenant, role):
    """A new member: (the organization used by that member, the path of the membership)."""
    user = await User.sign_up(tenant.stack)
    user_id = decode_claims(user.token)["sub"]
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json={"user_id": user_id, "role": role})
    return Tenant(user, tenant.account), f"/accounts/{tenant.id}/members/{user_id}"


async def issue(tenant):
    return await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)


async def signing_keys(tenant):
    return (await tenant.call("GET", f"/accounts/{tenant.id}/signing-keys", 200))["signing_keys"]


async def nats_account(tenant):
    return await account_of(await (await tenant.create_client()).connect_nats())


@pytest.mark.parametrize("role", [None, "member", "viewer"])
async def test_key_ends_when_its_issuer_is_removed_or_demoted(tenant, role):
    account = await nats_account(tenant)
    admin, path = await add_member(tenant, "admin")
    key = await issue(admin)
    (listed,) = await signing_keys(tenant)
    assert listed["nkey_public"] == key["nkey_public"]
    assert listed["issued_by"] == path.rpartition("/")[2]
    assert listed["issued_at"]
    users = [await connect_minted_user(tenant.stack, account, key["nkey_seed"]) for _ in range(2)]
    bystander = await (await tenant.create_client()).connect_nats()
    if role is None:
        await tenant.call("DELETE", path, 200)
    else:
        await tenant.call("PUT", path, 200, json={"role": role})
    await eventually(lambda: all(nc.is_closed for nc in users), within=2)
    with pytest.raises(nats.errors.Error):
        await connect_minted_user(tenant.stack, account, key["nkey_seed"])
    assert await signing_keys(tenant) == []
    await bystander.flush()
    entries = await wait_for_entries(tenant, 1, action="account.key_revoked")
    reason = "issuer_removed" if role is None else "issuer_demoted"
    assert entries[0]["metadata"]["reason"] == reason
    assert entries[0]["metadata"]["nkey_public"] == key["nkey_public"]


async def test_revoked_key_signs_no_one(tenant):
    account, key = await nats_account(tenant), await issue(tenant)
    user = await connect_minted_user(tenant.stack, account, key["nkey_seed"])
    path = f"/accounts/{tenant.id}/signing-keys/{key['nkey_public']}"
    assert (await tenant.call("DELETE", path, 200))["nkey_public"] == key["nkey_public"]
    await eventually(lambda: user.is_closed, within=2)
    with pytest.raises(nats.errors.Error):
        await connect_minted_user(tenant.stack, account, key["nkey_seed"])
    assert (await tenant.call("DELETE", path, 404))["code"] == "signing_key_not_found"
    (entry,) = await wait_for_entries(tenant, 1, action="account.key_revoked")
    assert entry["actor"].startswith("user:")


async def test_only_admins_see_and_revoke_keys(tenant):
    key = await issue(tenant)
    path = f"/accounts/{tenant.id}/signing-keys"
    for role, status in (("viewer", 403), ("member", 403), ("admin", 200)):
        member, _ = await add_member(tenant, role)
        assert (await member.http.get(path)).status_code == status
        assert (await member.http.delete(f"{path}/{key['nkey_public']}")).status_code == status


async def test_key_of_another_issuer_stays(tenant):
    key = await issue(tenant)
    _, path = await add_member(tenant, "admin")
    await tenant.call("DELETE", path, 200)
    # The organization's own key is replaced only by an event about its issuer.
    await wait_for_entries(tenant, 1, action="member.removed")
    assert [each["nkey_public"] for each in await signing_keys(tenant)] == [key["nkey_public"]]


async def test_key_ends_although_identity_was_away(separate_stack):
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    account = await nats_account(tenant)
    admin, path = await add_member(tenant, "admin")
    user = await connect_minted_user(separate_stack, account, (await issue(admin))["nkey_seed"])
    killed = separate_stack.supervisor.kill("identity")
    await tenant.call("PUT", path, 200, json={"role": "member"})
    await eventually(lambda: separate_stack.supervisor.pid("identity") not in (None, killed), within=20)
    await eventually(lambda: user.is_closed, within=20)

    async def ended():
        return await signing_keys(tenant) == []

    await eventually(ended, within=10)
