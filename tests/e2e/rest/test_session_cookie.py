"""A page's session: the refresh token is in a cookie that no script can read."""

from http.cookies import SimpleCookie

import pytest

from support.actors import PASSWORD, User

CSRF = "X-CSRF-Token"


def assert_rejected(response, status, code):
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


def cookies_of(response):
    cookies = SimpleCookie()
    for header in response.headers.get_list("set-cookie"):
        cookies.load(header)
    return cookies


@pytest.fixture
async def session(stack, http):
    """The cookies of a login, and a function that posts with them."""
    user = await User.sign_up(stack)
    body = {"email": user.email, "password": PASSWORD, "session": "cookie"}
    response = await http.post("/api/v1/auth/login", json=body)
    assert response.status_code == 200, response.text
    cookies = cookies_of(response)
    # They are for https; the test's server has none.
    header = "; ".join(f"{name}={each.value}" for name, each in cookies.items())

    async def post(path, **headers):
        return await http.post(f"/api/v1/auth/{path}", headers={"Cookie": header, **headers})

    return response, cookies, post


async def test_login_sets_cookies_in_place_of_the_refresh_token(session):
    response, cookies, _ = session
    assert "refresh_token" not in response.json()
    assert response.json()["access_token"]
    refresh, csrf = cookies["artcafe_refresh"], cookies["artcafe_csrf"]
    assert (refresh["path"], refresh["httponly"]) == ("/api/v1/auth", True)
    assert (csrf["path"], csrf["httponly"]) == ("/", "")
    for cookie in (refresh, csrf):
        assert cookie["secure"]
        assert cookie["samesite"].lower() == "strict"
        assert not cookie["domain"]
    assert refresh.value not in response.text
    assert refresh.value not in csrf.value


async def test_cookie_refreshes_with_the_csrf_token_only(session):
    _, cookies, post = session
    csrf = cookies["artcafe_csrf"].value
    refreshed = await post("refresh", **{CSRF: csrf})
    assert refreshed.status_code == 200, refreshed.text
    assert refreshed.json()["access_token"]
    assert "refresh_token" not in refreshed.json()
    for headers in ({}, {CSRF: ""}, {CSRF: csrf[:-1]}, {CSRF: cookies["artcafe_refresh"].value}):
        for path in ("refresh", "logout"):
            assert_rejected(await post(path, **headers), 403, "csrf_token_missing")


async def test_logout_removes_the_cookies(session):
    _, cookies, post = session
    response = await post("logout", **{CSRF: cookies["artcafe_csrf"].value})
    assert response.status_code == 200
    removed = cookies_of(response)
    assert {name: (each.value, each["path"], each["max-age"]) for name, each in removed.items()} == {
        "artcafe_refresh": ("", "/api/v1/auth", "0"),
        "artcafe_csrf": ("", "/", "0"),
    }


async def test_without_a_page_nothing_is_a_cookie(stack, http):
    user = await User.sign_up(stack)
    response = await http.post("/api/v1/auth/login", json={"email": user.email, "password": PASSWORD})
    assert response.json()["refresh_token"]
    assert "set-cookie" not in response.headers
    body = {"refresh_token": response.json()["refresh_token"]}
    refreshed = await http.post("/api/v1/auth/refresh", json=body)
    assert refreshed.status_code == 200
    assert "set-cookie" not in refreshed.headers
    assert_rejected(await http.post("/api/v1/auth/refresh"), 400, "invalid_request")
    assert (await http.post("/api/v1/auth/logout")).status_code == 200
