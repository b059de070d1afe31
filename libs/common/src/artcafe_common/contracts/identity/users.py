"""Users: tokens of the OpenID provider."""

from datetime import datetime

import msgspec

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError


class InvalidToken(CommandError):
    """A bearer token that does not verify; the reason stays in our log."""

    status = 401
    code = "invalid_token"
    title = "The token is not valid"


class InvalidCredentials(CommandError):
    """A wrong e-mail or password, without telling which."""

    status = 401
    code = "invalid_credentials"
    title = "The e-mail or password is wrong"


class ProviderUnavailable(CommandError):
    """The OpenID provider does not answer."""

    status = 503
    code = "provider_unavailable"
    title = "The identity provider is not available"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, as the OpenID provider's verified token names them."""

    user_id: str
    email: str = ""
    expires_at: datetime


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The provider's tokens; `expires_in` in seconds."""

    access_token: str
    id_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    refresh_token: str | None = None


class VerifyUserToken(Command[User], frozen=True, kw_only=True):
    """Check a person's bearer token: signature, issuer, audience, use and times."""

    subject = "artcafe.identity.user.verify"
    raises = (InvalidToken, ProviderUnavailable)
    idempotent = True
    token: str


class Login(Command[Tokens], frozen=True, kw_only=True):
    """Exchange an e-mail and a password for tokens at the provider."""

    subject = "artcafe.identity.user.login"
    raises = (InvalidCredentials, ProviderUnavailable)
    deadline_s = 10.0
    email: str
    password: str


class RefreshTokens(Command[Tokens], frozen=True, kw_only=True):
    """Exchange a refresh token for new tokens at the provider."""

    subject = "artcafe.identity.user.refresh"
    raises = (InvalidCredentials, ProviderUnavailable)
    deadline_s = 10.0
    refresh_token: str
