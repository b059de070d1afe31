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
    """The e-mail address and the password do not match."""

    status = 401
    code = "invalid_credentials"
    title = "The credentials are wrong"
    remedy = "Check the e-mail address and the password, and sign in again."


class InvalidRefreshToken(CommandError):
    """The refresh token has expired, was revoked or used already, or is not one of this service."""

    status = 401
    code = "invalid_refresh_token"
    title = "The refresh token is not valid"
    remedy = "Sign in again with `POST /api/v1/auth/login`."


class LoginRefused(CommandError):
    """The identity provider refuses the login by a rule of its own, whatever the password."""

    status = 403
    code = "login_refused"
    title = "The identity provider refuses the login"
    remedy = "Ask the operator of the service why the account may not sign in."


class LoginChallengeRequired(CommandError):
    """The identity provider asks for another step, such as a new password or a second factor; `detail` names it.

    `errors` names the field of the login that answers it, if there is one.
    """

    status = 403
    code = "login_challenge_required"
    title = "The login needs another step"
    remedy = (
        "Sign in again with the field that `errors` names (`new_password`, or `code` of an authenticator app); any other step "
        "is completed at the identity provider's own sign-in page."
    )


class InvalidLoginCode(CommandError):
    """The code of the authenticator app is wrong or has expired."""

    status = 401
    code = "invalid_login_code"
    title = "The code is wrong"
    remedy = "Sign in again with the code that the authenticator app shows now."


class NewPasswordRefused(CommandError):
    """The new password does not follow the rules of the identity provider."""

    status = 400
    code = "new_password_refused"
    title = "The new password is not accepted"
    remedy = "Choose a longer password, with letters, digits and signs, that was not used before."


class UserNotConfirmed(CommandError):
    """The person has not confirmed the e-mail address yet."""

    status = 403
    code = "user_not_confirmed"
    title = "The account is not confirmed"
    remedy = "Confirm the account with the code that the identity provider sent, then sign in again."


class PasswordResetRequired(CommandError):
    """The person has to set a new password first."""

    status = 403
    code = "password_reset_required"
    title = "The password must be reset"
    remedy = "Reset the password at the identity provider's own sign-in page, then sign in again."


class TooManyLoginAttempts(CommandError):
    """The identity provider locked the account for a while after wrong passwords."""

    status = 429
    code = "too_many_login_attempts"
    title = "Too many failed logins"
    remedy = "Wait for the time in `Retry-After`, and check the password before the next attempt."
    default_retry_after_s = 60


class ProviderThrottled(CommandError):
    """The OpenID provider accepts no more calls of the service at the moment."""

    status = 503
    code = "provider_throttled"
    title = "The identity provider is overloaded"
    remedy = "Retry after the time in `Retry-After`, with an increasing delay."
    default_retry_after_s = 2


class ProviderUnavailable(CommandError):
    """The OpenID provider does not respond, or its response is not what it should be."""

    status = 503
    code = "provider_unavailable"
    title = "The identity provider is not available"
    remedy = "Retry after the time in `Retry-After`, with an increasing delay."
    default_retry_after_s = 2


# What a login and a refresh raise for a provider that refuses them for the same reason.
_REFUSALS = (
    LoginRefused,
    LoginChallengeRequired,
    UserNotConfirmed,
    PasswordResetRequired,
    TooManyLoginAttempts,
    ProviderThrottled,
    ProviderUnavailable,
)


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user, from a verified token of the OpenID provider; `email` and `name` only if the token contains them.

    `email_verified` is whether the provider says that the address is the user's; None if it does not say.
    """

    user_id: str
    email: str = ""
    name: str = ""
    email_verified: bool | None = None
    expires_at: datetime


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of the OpenID provider for the user `user_id`; `expires_in` in seconds."""

    access_token: str
    id_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    refresh_token: str | None = None
    user_id: str = ""


class VerifyUserToken(Command[User], frozen=True, kw_only=True):
    """Verify a user's bearer token: signature, issuer, audience, use and times."""

    subject = "artcafe.identity.user.verify"
    raises = (InvalidToken, ProviderUnavailable)
    idempotent = True
    token: str


class Login(Command[Tokens], frozen=True, kw_only=True):
    """Exchange an e-mail address and a password for tokens.

    `new_password` and `code` (of an authenticator app) answer the identity provider if it asks for them.
    """

    subject = "artcafe.identity.user.login"
    raises = (InvalidCredentials, InvalidLoginCode, NewPasswordRefused, *_REFUSALS)
    deadline_s = 10.0
    email: str
    password: str
    new_password: str = ""
    code: str = ""


class RefreshTokens(Command[Tokens], frozen=True, kw_only=True):
    """Exchange a refresh token for new tokens."""

    subject = "artcafe.identity.user.refresh"
    raises = (InvalidRefreshToken, *_REFUSALS)
    deadline_s = 10.0
    refresh_token: str
