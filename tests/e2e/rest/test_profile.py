"""Profile and preferences of a user, which do not depend on the organization."""

import pytest

from artcafe_common.clock import new_id
from support.actors import User

DEFAULTS = {
    "theme": "system",
    "language": "en",
    "timezone": "UTC",
    "notifications": {
        "email": True,
        "dashboard": True,
        "client_offline": True,
        "quota": True,
        "security": True,
    },
    "updated_at": None,
}


async def test_profile_lists_organizations_and_the_current_one(stack):
    user = await User.sign_up(stack)
    profile = (await user.http.get("/profile/me")).json()
    assert profile["user_id"]
    assert (profile["name"], profile["avatar_url"]) == ("", "")
    assert (profile["organizations"], profile["current_organization"]) == ([], None)

    first = await user.create_organization("Acme")
    profile = (await user.http.get("/profile/me")).json()
    acme = {"account_id": first.id, "name": "Acme", "role": "owner", "plan": first.account["plan"]}
    assert profile["organizations"] == [acme]
    assert profile["current_organization"] == acme

    second = await user.create_organization("Other")
    profile = (await user.http.get("/profile/me")).json()
    assert {each["account_id"] for each in profile["organizations"]} == {first.id, second.id}
    assert profile["current_organization"] is None
    assert (await second.call("GET", "/profile/me", 200))["current_organization"]["account_id"] == second.id
    assert (await first.call("GET", "/profile/me", 200))["current_organization"] == acme


async def test_profile_is_updated_partially_and_per_user(tenant, other_tenant):
    await tenant.call("PUT", "/profile/me", 200, json={"name": "Ann Smith"})
    changed = await tenant.call("PUT", "/profile/me/", 200, json={"avatar_url": "https://a.example/ann.png"})
    assert (changed["name"], changed["avatar_url"]) == ("Ann Smith", "https://a.example/ann.png")
    assert changed["current_organization"]["account_id"] == tenant.id
    assert await tenant.call("GET", "/profile/me", 200) == changed
    assert (await other_tenant.call("GET", "/profile/me", 200))["name"] == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"nickname": "a"}, "nickname"),
        ({"email": "a@example.com"}, "email"),
        ({"user_id": "a"}, "user_id"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 1}, "name"),
        ({"avatar_url": "javascript:alert(1)"}, "avatar_url"),
        ({"avatar_url": "https://a b"}, "avatar_url"),
        ({"avatar_url": "https://" + "a" * 2048}, "avatar_url"),
    ],
)
async def test_invalid_profile_is_rejected(tenant, body, field):
    problem = await tenant.call("PUT", "/profile/me", 400, json=body)
    assert problem["code"] == "invalid_request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert (await tenant.call("GET", "/profile/me", 200))["updated_at"] is None


async def test_foreign_organization_is_forbidden(tenant, other_tenant):
    for tenant_id in (other_tenant.id, new_id()):
        response = await tenant.http.get("/profile/me", headers={"X-Tenant-Id": tenant_id})
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_profile_needs_a_token(stack, tenant):
    for method, path in (("GET", "/profile/me"), ("PUT", "/profile/me"), ("GET", "/profile/preferences")):
        response = await tenant.http.request(method, path, headers={"Authorization": ""}, json={})
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


async def test_preferences_have_defaults_and_are_updated_partially(tenant, other_tenant):
    assert await tenant.call("GET", "/profile/preferences", 200) == DEFAULTS
    changed = await tenant.call(
        "PUT",
        "/profile/preferences",
        200,
        json={"theme": "dark", "timezone": "Europe/Berlin", "notifications": {"email": False}},
    )
    assert changed == {
        **DEFAULTS,
        "updated_at": changed["updated_at"],
        "theme": "dark",
        "timezone": "Europe/Berlin",
        "notifications": {**DEFAULTS["notifications"], "email": False},
    }
    second = {"language": "pt-BR", "notifications": {"quota": False}}
    changed = await tenant.call("PUT", "/profile/preferences", 200, json=second)
    assert changed["notifications"] == {**DEFAULTS["notifications"], "email": False, "quota": False}
    assert (changed["theme"], changed["language"]) == ("dark", "pt-BR")
    assert await tenant.call("GET", "/profile/preferences", 200) == changed
    assert await other_tenant.call("GET", "/profile/preferences", 200) == DEFAULTS


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"color": "red"}, "color"),
        ({"theme": "neon"}, "theme"),
        ({"language": "english please"}, "language"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"notifications": {"email": "yes"}}, "notifications.email"),
        ({"notifications": {"pigeon": True}}, "notifications"),
        ({"notifications": None}, "notifications"),
        ({"theme": None}, "theme"),
    ],
)
async def test_invalid_preferences_are_rejected(tenant, body, field):
    problem = await tenant.call("PUT", "/profile/preferences", 400, json=body)
    assert problem["code"] == "invalid_request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await tenant.call("GET", "/profile/preferences", 200) == DEFAULTS
