"""A page's session: the refresh token in a cookie that no script can read.

A page that signs in with `session: cookie` gets two cookies, which are sent by requests of the same site only. One has
the refresh token, for the routes under `/api/v1/auth`. The other has a word derived from it, which the page reads and
sends back as `X-CSRF-Token`: what can send the first cookie without the page's knowledge cannot do that.
"""

import hashlib
import hmac
from typing import Any

from litestar.connection import Request
from litestar.datastructures import Cookie

from artcafe_common.bus.errors import CommandError

REFRESH_COOKIE, REFRESH_PATH = "artcafe_refresh", "/api/v1/auth"
CSRF_COOKIE, CSRF_PATH = "artcafe_csrf", "/"
CSRF_HEADER = "X-CSRF-Token"
_PURPOSE = b"artcafe csrf"


class CsrfTokenMissing(CommandError):
    """The request uses the session cookie without its `X-CSRF-Token` header, or with a wrong one."""

    status = 403
    code = "csrf_token_missing"
    title = "The CSRF token is missing or wrong"
    remedy = "Send the value of the cookie `artcafe_csrf` in the header `X-CSRF-Token`."


def read_refresh_token(request: Request[Any, Any, Any]) -> str:
    """The refresh token of the session cookie; empty without one. Raises CsrfTokenMissing."""
    token = request.cookies.get(REFRESH_COOKIE, "")
    given = request.headers.get(CSRF_HEADER, "")
    if token and not hmac.compare_digest(given.encode(), derive_csrf_token(token).encode()):
        raise CsrfTokenMissing
    return token


def session_cookies(refresh_token: str) -> list[Cookie]:
    """The cookies of a session, which end with the browser's."""
    return [
        _cookie(REFRESH_COOKIE, refresh_token, REFRESH_PATH, httponly=True),
        _cookie(CSRF_COOKIE, derive_csrf_token(refresh_token), CSRF_PATH, httponly=False),
    ]


def expired_cookies() -> list[Cookie]:
    """Cookies that remove those of a session."""
    return [
        _cookie(REFRESH_COOKIE, "", REFRESH_PATH, httponly=True, max_age=0),
        _cookie(CSRF_COOKIE, "", CSRF_PATH, httponly=False, max_age=0),
    ]


def derive_csrf_token(refresh_token: str) -> str:
    """What only who has the refresh token can know; it says nothing of it."""
    return hmac.new(refresh_token.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def _cookie(name: str, value: str, path: str, *, httponly: bool, max_age: int | None = None) -> Cookie:
    return Cookie(
        key=name, value=value, path=path, httponly=httponly, max_age=max_age, secure=True, samesite="strict"
    )
