"""What the API answers in each state of the OpenID provider: the one table that the code, its tests and the docs read."""

import msgspec

from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.users import (
    InvalidCredentials,
    InvalidLoginCode,
    InvalidRefreshToken,
    InvalidToken,
    LoginChallengeRequired,
    LoginRefused,
    NewPasswordRefused,
    PasswordResetRequired,
    ProviderThrottled,
    ProviderUnavailable,
    TooManyLoginAttempts,
    UserNotConfirmed,
)

Answer = type[CommandError] | None


class ProviderState(msgspec.Struct, frozen=True, kw_only=True):
    """A state of the provider, with the error codes that show it, and the answers; None is success.

    `login` and `refresh` answer `POST /auth/login` and `/auth/refresh`. `known` answers a request with a valid token
    whose key is cached, `first` one before the provider's keys were fetched.
    """

    name: str
    cause: str
    codes: tuple[str, ...] = ()
    # Parts of the message, one of which tells the state from others with the same code.
    messages: tuple[str, ...] = ("",)
    login: Answer = None
    refresh: Answer = None
    known: Answer = None
    first: Answer = None


def _away(name: str, cause: str, *codes: str) -> ProviderState:
    return ProviderState(
        name=name,
        cause=cause,
        codes=codes,
        login=ProviderUnavailable,
        refresh=ProviderUnavailable,
        first=ProviderUnavailable,
    )


# The first state whose code and message match applies.
PROVIDER_STATES = (
    ProviderState(name="ok", cause="It answers."),
    _away("away", "Nothing listens, or the connection is reset."),
    _away("timeout", "It accepts the connection and does not answer."),
    _away("server_error", "It answers with a 5xx status.", "InternalErrorException"),
    _away("malformed", "Its response is cut off, is no JSON, or lacks what it must contain."),
    ProviderState(
        name="throttled",
        cause="The calls of the whole service exceed its quota.",
        codes=(
            "TooManyRequestsException",
            "LimitExceededException",
            "ThrottlingException",
            "RequestLimitExceeded",
        ),
        login=ProviderThrottled,
        refresh=ProviderThrottled,
        first=ProviderUnavailable,
    ),
    ProviderState(
        name="locked",
        cause="Too many wrong passwords for one person.",
        codes=("NotAuthorizedException", "TooManyFailedAttemptsException"),
        messages=("attempts exceeded",),
        login=TooManyLoginAttempts,
        refresh=TooManyLoginAttempts,
    ),
    ProviderState(
        name="misconfigured",
        cause="The user pool, the app client or a trigger of it is not set up as the service needs.",
        codes=("NotAuthorizedException", "InvalidParameterException"),
        messages=("for this client", "secret"),
        login=ProviderUnavailable,
        refresh=ProviderUnavailable,
    ),
    ProviderState(
        name="wrong_credentials",
        cause="The password is wrong, the person is unknown or disabled, or the refresh token has expired.",
        codes=("NotAuthorizedException", "UserNotFoundException", "InvalidParameterException"),
        login=InvalidCredentials,
        refresh=InvalidRefreshToken,
    ),
    ProviderState(
        name="token_reused",
        cause="The refresh token was used before, and rotated.",
        codes=("RefreshTokenReuseException", "UnsupportedTokenTypeException"),
        login=InvalidCredentials,
        refresh=InvalidRefreshToken,
    ),
    ProviderState(
        name="refused",
        cause="A trigger of the user pool or its firewall refuses the login.",
        codes=("UserLambdaValidationException", "ForbiddenException"),
        login=LoginRefused,
        refresh=LoginRefused,
    ),
    ProviderState(
        name="challenge",
        cause="It asks for a new password, a second factor or another step.",
        login=LoginChallengeRequired,
        refresh=LoginChallengeRequired,
    ),
    ProviderState(
        name="wrong_code",
        cause="The code of the authenticator app is wrong or has expired.",
        codes=("CodeMismatchException", "ExpiredCodeException"),
        login=InvalidLoginCode,
        refresh=InvalidRefreshToken,
    ),
    ProviderState(
        name="weak_password",
        cause="The new password does not follow the rules of the user pool.",
        codes=("InvalidPasswordException", "PasswordHistoryPolicyViolationException"),
        login=NewPasswordRefused,
        refresh=InvalidRefreshToken,
    ),
    ProviderState(
        name="not_confirmed",
        cause="The person has not confirmed the account.",
        codes=("UserNotConfirmedException",),
        login=UserNotConfirmed,
        refresh=UserNotConfirmed,
    ),
    ProviderState(
        name="reset_required",
        cause="An administrator reset the password.",
        codes=("PasswordResetRequiredException",),
        login=PasswordResetRequired,
        refresh=PasswordResetRequired,
    ),
    ProviderState(name="one_bad_key", cause="One of its keys is malformed or of an unknown kind."),
    ProviderState(
        name="key_withdrawn",
        cause="It no longer publishes the key that signed the token; a known key is trusted for 10 more minutes.",
        first=InvalidToken,
    ),
)
STATES = {state.name: state for state in PROVIDER_STATES}


def find_state(code: str, message: str) -> ProviderState:
    """The state that an error of Cognito shows; `misconfigured` for one that the table does not name."""
    for state in PROVIDER_STATES:
        if code in state.codes and any(part in message.lower() for part in state.messages):
            return state
    return STATES["misconfigured"]
