"""Which role may call which route."""

import pytest

from support.actors import Tenant, User
from support.tokens import decode_claims

NOWHERE = "01JADAR0000000000000000000"


@pytest.fixture
async def staff(stack, tenant):
    """One person of each role in one organization."""
    people = {"owner": tenant}
    for role in ("admin", "member", "viewer"):
        person = await User.sign_up(stack)
        body = {"user_id": decode_claims(person.token)["sub"], "role": role}
        await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=body)
        people[role] = Tenant(person, tenant.account)
    return people


# The least role for each route. Who may go on is told apart by what is wrong besides: nothing is changed.
LEAST = {
    "viewer": (
        ("GET", "/clients"),
        ("GET", "/clients/{none}"),
        ("GET", "/clients/{none}/status"),
        ("GET", "/channels"),
        ("GET", "/channels/{none}"),
        ("GET", "/accounts"),
        ("GET", "/accounts/{tid}"),
        ("GET", "/accounts/{tid}/members"),
        ("GET", "/usage/metrics"),
        ("GET", "/usage/current"),
        ("GET", "/usage/local/stats"),
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
        ("PUT", "/accounts/{tid}", {"description": "{role}"}),
        ("POST", "/accounts/{tid}/members", {"user_id": "{role}-1", "role": "viewer"}),
        ("PUT", "/accounts/{tid}/members/nobody", {"role": "viewer"}),
        ("DELETE", "/accounts/{tid}/members/nobody"),
    ),
    "owner": (
        ("POST", "/accounts/{tid}/members", {"user_id": "{role}-2", "role": "owner"}),
        ("PUT", "/accounts/{tid}/members/{founder}", {"role": "owner"}),
    ),
}
RANKS = ("viewer", "member", "admin", "owner")


async def test_every_role_may_do_what_it_may_and_no_more(tenant, staff):
    founder = decode_claims(tenant.owner.token)["sub"]
    wrong = []
    for least, routes in LEAST.items():
        for method, path, *body in routes:
            for role, person in staff.items():
                where = path.format(none=NOWHERE, tid=tenant.id, founder=founder)
                sent = {k: v.replace("{role}", role) for k, v in body[0].items()} if body else None
                answer = await person.http.request(method, where, json=sent)
                allowed = RANKS.index(role) >= RANKS.index(least)
                fits = answer.status_code in (200, 201, 202, 404) if allowed else answer.status_code == 403
                if not fits:
                    wrong.append((role, method, path, answer.status_code, answer.text))
    assert wrong == []


async def test_who_may_issue_the_organizations_key(tenant, staff):
    for role, status in (("viewer", 403), ("member", 403), ("admin", 201), ("owner", 201)):
        answer = await staff[role].http.post(f"/accounts/generate-nkey/{tenant.id}")
        assert answer.status_code == status, (role, answer.text)
