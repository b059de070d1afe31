"""A person's profile and preferences: their own, whatever organization they act for."""

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
}


async def test_a_profile_before_and_after_the_first_organization(stack):
    person = await User.sign_up(stack)
    profile = (await person.http.get("/profile/me")).json()
    assert profile["user_id"]
    assert (profile["name"], profile["avatar_url"]) == ("", "")
    assert (profile["organizations"], profile["current_organization"]) == ([], None)

    first = await person.create_organization("Acme")
    profile = (await person.http.get("/profile/me")).json()
    acme = {"account_id": first.id, "name": "Acme", "role": "owner", "plan": first.account["plan"]}
    assert profile["organizations"] == [acme]
    assert profile["current_organization"] == acme

    second = await person.create_organization("Other")
    profile = (await person.http.get("/profile/me")).json()
    assert {each["account_id"] for each in profile["organizations"]} == {first.id, second.id}
    assert profile["current_organization"] is None
    assert (await second.call("GET", "/profile/me", 200))["current_organization"]["account_id"] == second.id
    assert (await first.call("GET", "/profile/me", 200))["current_organization"] == acme


async def test_a_profile_is_changed_piece_by_piece_and_is_ones_own(tenant, other_tenant):
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
async def test_a_profile_that_does_not_fit_is_refused(tenant, body, field):
    problem = await tenant.call("PUT", "/profile/me", 400, json=body)
    assert problem["code"] == "invalid_request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert (await tenant.call("GET", "/profile/me", 200))["updated_at"] is None


async def test_an_organization_that_is_not_ones_own_is_forbidden(tenant, other_tenant):
    for wanted in (other_tenant.id, new_id()):
        answer = await tenant.http.get("/profile/me", headers={"X-Tenant-Id": wanted})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_without_a_token_there_is_nobody(stack, tenant):
    for method, path in (("GET", "/profile/me"), ("PUT", "/profile/me"), ("GET", "/profile/preferences")):
        answer = await tenant.http.request(method, path, headers={"Authorization": ""}, json={})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_preferences_have_defaults_and_are_changed_piece_by_piece(tenant, other_tenant):
    assert await tenant.call("GET", "/profile/preferences", 200) == DEFAULTS
    changed = await tenant.call(
        "PUT",
        "/profile/preferences",
        200,
        json={"theme": "dark", "timezone": "Europe/Berlin", "notifications": {"email": False}},
    )
    assert changed == {
        **DEFAULTS,
        "theme": "dark",
        "timezone": "Europe/Berlin",
        "notifications": {**DEFAULTS["notifications"], "email": False},
    }
    again = {"language": "pt-BR", "notifications": {"quota": False}}
    changed = await tenant.call("PUT", "/profile/preferences", 200, json=again)
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
async def test_preferences_that_do_not_fit_are_refused(tenant, body, field):
    problem = await tenant.call("PUT", "/profile/preferences", 400, json=body)
    assert problem["code"] == "invalid_request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await tenant.call("GET", "/profile/preferences", 200) == DEFAULTS
