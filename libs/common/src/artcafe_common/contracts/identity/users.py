"""Users and their tokens of the OpenID provider."""

from datetime import datetime

import msgspec

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError


class InvalidToken(CommandError):
    """The bearer token is malformed, expired, or not issued for this service."""

    status = 401
    code = "invalid_token"
    title = "The token is not valid"
    remedy = "Sign in again, or refresh the token with `POST /api/v1/auth/refresh`."


class InvalidCredentials(CommandError):
    """The e-mail address and the password do not match, or the refresh token is not valid."""

    status = 401
    code = "invalid_credentials"
    title = "The credentials are wrong"
    remedy = "Check the e-mail address and the password, and sign in again."


class ProviderUnavailable(CommandError):
    """The OpenID provider does not respond."""

    status = 503
    code = "provider_unavailable"
    title = "The identity provider is not available"
    remedy = "Retry with an increasing delay."


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user, from a verified token of the OpenID provider."""

    user_id: str
    email: str = ""
    expires_at: datetime


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of the OpenID provider; `expires_in` in seconds."""

    access_token: str
    id_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    refresh_token: str | None = None


class VerifyUserToken(Command[User], frozen=True, kw_only=True):
    """Verify a user's bearer token: signature, issuer, audience, use and times."""

    subject = "artcafe.identity.user.verify"
    raises = (InvalidToken, ProviderUnavailable)
    idempotent = True
    token: str


class Login(Command[Tokens], frozen=True, kw_only=True):
    """Exchange an e-mail address and a password for tokens."""

    subject = "artcafe.identity.user.login"
    raises = (InvalidCredentials, ProviderUnavailable)
    deadline_s = 10.0
    email: str
    password: str


class RefreshTokens(Command[Tokens], frozen=True, kw_only=True):
    """Exchange a refresh token for new tokens."""

    subject = "artcafe.identity.user.refresh"
    raises = (InvalidCredentials, ProviderUnavailable)
    deadline_s = 10.0
    refresh_token: str
