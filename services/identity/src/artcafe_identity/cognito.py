"""User login through AWS Cognito."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import aiohttp
import msgspec
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from joserfc import jws
from joserfc.errors import JoseError

from artcafe_common.bus.errors import FieldError
from artcafe_common.contracts.identity.users import (
    InvalidCredentials,
    InvalidRefreshToken,
    LoginChallengeRequired,
    ProviderThrottled,
    ProviderUnavailable,
    Tokens,
)
from artcafe_identity.provider_states import STATES, ProviderState, find_state

# Shorter than the deadline of the command, retries included.
TIMEOUT_S = 8.0
# The answers to faults of the provider, as opposed to what a person did.
_FAULTS = (ProviderUnavailable, ProviderThrottled)
# What a response that is cut off or malformed raises.
_FAILURES = (
    BotoCoreError,
    JoseError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
log = structlog.get_logger()


class _Result(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    access_token: str
    id_token: str
    expires_in: int = 3600
    refresh_token: str | None = None


class _Subject(msgspec.Struct, frozen=True):
    sub: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    challenge: str | None = msgspec.field(name="ChallengeName", default=None)
    challenge_parameters: dict[str, Any] = {}
    session: str | None = None
    result: _Result | None = msgspec.field(name="AuthenticationResult", default=None)


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    """What answers a challenge: a field of the login, and its name at the provider."""

    field: str
    parameter: str


_STEPS = {
    "NEW_PASSWORD_REQUIRED": _Step(field="new_password", parameter="NEW_PASSWORD"),
    "SOFTWARE_TOKEN_MFA": _Step(field="code", parameter="SOFTWARE_TOKEN_MFA_CODE"),
}


class Cognito:
    """Exchanges passwords and refresh tokens for tokens. Raises the errors of `provider_states`."""

    def __init__(self, client: Any, client_id: str) -> None:
        self._client = client
        self._client_id = client_id

    async def login(self, email: str, password: str, *, new_password: str = "", code: str = "") -> Tokens:
        """Tokens for an e-mail address and a password, and what further answers the provider asks for."""
        if not email or not password:
            raise InvalidCredentials
        parameters = {"USERNAME": email, "PASSWORD": password}
        answers = {"new_password": new_password, "code": code}
        result = await self._initiate_auth("USER_PASSWORD_AUTH", parameters, answers)
        if isinstance(result, Tokens):
            return result
        raise result.login or ProviderUnavailable

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token."""
        if not refresh_token:
            raise InvalidRefreshToken
        result = await self._initiate_auth("REFRESH_TOKEN_AUTH", {"REFRESH_TOKEN": refresh_token})
        if isinstance(result, Tokens):
            return result
        raise result.refresh or ProviderUnavailable

    async def get_attributes(self, access_token: str) -> dict[str, str]:
        """The attributes of the token's user; empty if the token does not allow it. Raises ProviderUnavailable."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._client.get_user(AccessToken=access_token)
            return {each["Name"]: each["Value"] for each in response["UserAttributes"]}
        except ClientError as error:
            if _refused(error).login in _FAULTS:
                raise ProviderUnavailable from error
            return {}
        except _FAILURES as error:
            log.warning("provider_failed", operation="get_user", reason=type(error).__name__)
            raise ProviderUnavailable from error

    async def _initiate_auth(
        self, flow: str, parameters: dict[str, str], answers: Mapping[str, str] = MappingProxyType({})
    ) -> Tokens | ProviderState:
        """The tokens, or the state in which the provider refuses them. Raises ProviderUnavailable."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._client.initiate_auth(
                    AuthFlow=flow, ClientId=self._client_id, AuthParameters=parameters
                )
                answer = msgspec.convert(response, _Answer)
                # Each step once: a provider that repeats one is not answered for ever.
                for _ in _STEPS:
                    if answer.challenge is None:
                        break
                    answer = await self._respond(answer, parameters, answers)
            if answer.challenge is not None:
                raise _challenge_required(answer.challenge)
            if answer.result is None:
                raise ValueError("neither tokens nor a challenge")
            return Tokens(
                access_token=answer.result.access_token,
                id_token=answer.result.id_token,
                expires_in=answer.result.expires_in,
                refresh_token=answer.result.refresh_token,
                user_id=_subject(answer.result.access_token),
            )
        except ClientError as error:
            return _refused(error)
        except _FAILURES as error:
            log.warning("provider_failed", operation="initiate_auth", reason=type(error).__name__)
            raise ProviderUnavailable from error

    async def _respond(
        self, asked: _Answer, parameters: Mapping[str, str], answers: Mapping[str, str]
    ) -> _Answer:
        """The provider's answer to the step that it asked for. Raises LoginChallengeRequired."""
        challenge = asked.challenge or ""
        step = _STEPS.get(challenge)
        given = "" if step is None else answers.get(step.field, "")
        if step is None or not given:
            raise _challenge_required(challenge)
        # The name that Cognito itself has for the person, who may sign in with another.
        username = str(asked.challenge_parameters.get("USER_ID_FOR_SRP") or parameters["USERNAME"])
        response = await self._client.respond_to_auth_challenge(
            ClientId=self._client_id,
            ChallengeName=challenge,
            Session=asked.session or "",
            ChallengeResponses={"USERNAME": username, step.parameter: given},
        )
        return msgspec.convert(response, _Answer)


def _challenge_required(challenge: str) -> LoginChallengeRequired:
    step = _STEPS.get(challenge)
    errors = () if step is None else (FieldError(field=step.field, message="Needed for this login"),)
    return LoginChallengeRequired(f"the identity provider asks for {challenge[:64]}", errors=errors)


def _subject(token: str) -> str:
    """The user of a token that came from the provider itself. Raises JoseError or ValueError."""
    claims = jws.extract_compact(token.encode("ascii")).payload
    return msgspec.json.decode(claims, type=_Subject).sub


def _refused(error: ClientError) -> ProviderState:
    details = error.response.get("Error", {})
    code = str(details.get("Code", ""))
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:  # noqa: PLR2004
        state = STATES["server_error"]
    else:
        state = find_state(code, str(details.get("Message", "")))
    if state.login in _FAULTS:
        # The message can contain what the person entered, so the code alone is logged.
        log.warning("provider_refused", operation=state.name, code=code)
    return state
