"""Which role may call which route."""

import pytest

from support.actors import Tenant, User
from support.api_examples import UNKNOWN_ID
from support.tokens import decode_claims


@pytest.fixture
async def members_by_role(stack, tenant):
    """One organization, used by a member of each role."""
    tenants = {"owner": tenant}
    for role in ("admin", "member", "viewer"):
        user = await User.sign_up(stack)
        body = {"user_id": decode_claims(user.token)["sub"], "role": role}
        await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
        tenants[role] = Tenant(user, tenant.account)
    return tenants


# The minimum role for each route. Requests that are authorized mostly fail later, with an unknown id.
MINIMUM_ROLE = {
    "viewer": (
        ("GET", "/clients"),
        ("GET", "/clients/{none}"),
        ("GET", "/clients/{none}/status"),
        ("GET", "/clients/{none}/connections"),
        ("GET", "/channels"),
        ("GET", "/channels/{none}"),
        ("GET", "/channels/{none}/storage"),
        ("GET", "/accounts"),
        ("GET", "/accounts/{tid}"),
        ("GET", "/accounts/{tid}/members"),
        ("GET", "/usage/metrics"),
        ("GET", "/usage/current"),
        ("GET", "/usage/local/stats"),
        ("GET", "/usage/hourly"),
        ("GET", "/usage/top"),
        ("GET", "/usage/refusals"),
        ("GET", "/activity/export"),
        ("GET", "/status"),
        ("GET", "/usage/clients/{none}"),
        ("GET", "/usage/channels/{none}"),
        ("GET", "/plans"),
        ("GET", "/connections"),
        ("GET", "/roster"),
        ("GET", "/subjects/{none}/messages"),
    ),
    "member": (
        ("POST", "/clients", {"name": "{role}"}),
        ("PUT", "/clients/{none}", {"name": "x"}),
        ("DELETE", "/clients/{none}"),
        ("POST", "/clients/{none}/regenerate-nkey"),
        ("POST", "/channels", {"name": "{role}"}),
        ("PUT", "/channels/{none}", {"name": "x"}),
        ("DELETE", "/channels/{none}"),
        ("POST", "/channels/{none}/messages", {"any": "thing"}),
    ),
    "admin": (
        ("DELETE", "/connections/{none}"),
        ("POST", "/channels/{none}/purge"),
        ("GET", "/accounts/{tid}/invitations"),
        ("POST", "/accounts/{tid}/invitations", {"email": "{role}@example.com", "role": "admin"}),
        ("DELETE", "/accounts/{tid}/invitations/{none}"),
        ("PUT", "/accounts/{tid}", {"description": "{role}"}),
        ("POST", "/accounts/{tid}/members", {"user_id": "{role}-1", "role": "viewer"}),
        ("PUT", "/accounts/{tid}/members/nobody", {"role": "viewer"}),
        ("DELETE", "/accounts/{tid}/members/nobody"),
    ),
    "owner": (
        ("POST", "/accounts/{tid}/members", {"user_id": "{role}-2", "role": "owner"}),
        ("POST", "/accounts/{tid}/invitations", {"email": "{role}-2@example.com", "role": "owner"}),
        ("PUT", "/accounts/{tid}/members/{owner}", {"role": "owner"}),
    ),
}
ROLES = ("viewer", "member", "admin", "owner")


async def test_each_route_requires_its_minimum_role(tenant, members_by_role):
    owner = decode_claims(tenant.owner.token)["sub"]
    failures = []
    for minimum, routes in MINIMUM_ROLE.items():
        for method, path, *body in routes:
            for role, member in members_by_role.items():
                target = path.format(none=UNKNOWN_ID, tid=tenant.id, owner=owner)
                json = {k: v.replace("{role}", role) for k, v in body[0].items()} if body else None
                response = await member.http.request(method, target, json=json)
                allowed = ROLES.index(role) >= ROLES.index(minimum)
                expected = (200, 201, 202, 404) if allowed else (403,)
                if response.status_code not in expected:
                    failures.append((role, method, path, response.status_code, response.text))
    assert failures == []


async def test_only_admins_and_owners_generate_signing_keys(tenant, members_by_role):
    for role, status in (("viewer", 403), ("member", 403), ("admin", 201), ("owner", 201)):
        response = await members_by_role[role].http.post(f"/accounts/generate-nkey/{tenant.id}")
        assert response.status_code == status, (role, response.text)
