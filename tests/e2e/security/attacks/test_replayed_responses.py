"""A repeated `Idempotency-Key` shows no secret again, and nothing to a caller who lost the role."""

import uuid

import pytest

from artcafe_common.clock import new_id
from support.actors import Tenant, User
from support.api_examples import SSH_PUBLIC_KEY
from support.tokens import decode_claims
from support.waiting import eventually, eventually_equals


def new_key():
    return {"Idempotency-Key": uuid.uuid4().hex}


async def add_member(tenant, role):
    """A new member: (the organization used by that member, the path of the membership)."""
    user = await User.sign_up(tenant.stack)
    user_id = decode_claims(user.token)["sub"]
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json={"user_id": user_id, "role": role})
    return Tenant(user, tenant.account), f"/accounts/{tenant.id}/members/{user_id}"


def requests_with_secrets(tenant, client):
    return {
        "client": ("/clients", {"name": "one"}, "nkey_seed"),
        "client key": (f"/clients/{client.id}/regenerate-nkey", None, "nkey_seed"),
        "signing key": (f"/accounts/generate-nkey/{tenant.id}", None, "nkey_seed"),
        "agent": ("/agents", {"name": "one", "key_type": "ed25519"}, "private_key"),
    }


@pytest.mark.parametrize("what", ["client", "client key", "signing key", "agent"])
async def test_secret_is_shown_once(tenant, what):
    path, body, field = requests_with_secrets(tenant, await tenant.create_client())[what]
    headers = new_key()
    first = await tenant.http.post(path, json=body, headers=headers)
    assert first.status_code in (200, 201)
    secret = first.json()[field]
    for _ in range(2):
        again = await tenant.http.post(path, json=body, headers=headers)
        assert (again.status_code, again.json()["code"]) == (409, "idempotency_not_replayable")
        assert secret not in again.text
        assert "Idempotency-Replayed" not in again.headers
    # It was executed once.
    if body is not None:

        async def count():
            return [each["name"] for each in await tenant.list_items(path)].count("one")

        await eventually_equals(count, 1)


async def test_agent_with_its_own_key_is_replayed(tenant):
    headers, body = new_key(), {"name": "one", "public_key": SSH_PUBLIC_KEY}
    first = await tenant.http.post("/agents", json=body, headers=headers)
    again = await tenant.http.post("/agents", json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)


@pytest.mark.parametrize("role", ["member", "viewer", None])
async def test_demoted_admin_gets_no_earlier_response(tenant, role):
    admin, path = await add_member(tenant, "admin")
    requests = [
        (f"/accounts/generate-nkey/{tenant.id}", None),
        (f"/accounts/{tenant.id}/members", {"user_id": f"user-{new_id()}", "role": "viewer"}),
    ]
    headers = [new_key() for _ in requests]
    for (target, body), key in zip(requests, headers, strict=True):
        assert (await admin.http.post(target, json=body, headers=key)).status_code == 201
    if role is None:
        await tenant.call("DELETE", path, 200)
    else:
        await tenant.call("PUT", path, 200, json={"role": role})
    # At once: the gateway's copy of the role is not used.
    for (target, body), key in zip(requests, headers, strict=True):
        again = await admin.http.post(target, json=body, headers=key)
        assert (again.status_code, again.json()["code"]) == (403, "forbidden")


async def test_removed_owner_gets_no_response_of_the_organizations_creation(stack, tenant):
    user, headers = await User.sign_up(stack), new_key()
    first = await user.http.post("/accounts", json={"name": "One"}, headers=headers)
    created, owner_id = Tenant(user, first.json()), decode_claims(user.token)["sub"]
    assert (await user.http.post("/accounts", json={"name": "One"}, headers=headers)).json() == first.json()
    other = {"user_id": decode_claims(tenant.owner.token)["sub"], "role": "owner"}
    await created.call("POST", f"/accounts/{created.id}/members", 201, json=other)
    await created.call("DELETE", f"/accounts/{created.id}/members/{owner_id}", 200)
    again = await user.http.post("/accounts", json={"name": "One"}, headers=headers)
    assert (again.status_code, again.json()["code"]) == (403, "forbidden")


async def test_promoted_member_gets_the_earlier_response(tenant):
    member, path = await add_member(tenant, "member")
    headers = new_key()
    first = await member.http.post("/channels", json={"name": "one"}, headers=headers)
    await tenant.call("PUT", path, 200, json={"role": "admin"})

    async def replayed():
        again = await member.http.post("/channels", json={"name": "one"}, headers=headers)
        return again.json() == first.json()

    await eventually(replayed)
