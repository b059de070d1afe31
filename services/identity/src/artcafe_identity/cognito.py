"""The password flow of AWS Cognito."""

from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.contracts.identity.users import InvalidCredentials, ProviderUnavailable, Tokens

_REFUSALS = frozenset(
    {
        "NotAuthorizedException",
        "UserNotFoundException",
        "UserNotConfirmedException",
        "PasswordResetRequiredException",
        "InvalidParameterException",
    }
)


class Cognito:
    """Exchanges what a person knows for tokens."""

    def __init__(self, client: Any, client_id: str) -> None:
        self._client = client
        self._client_id = client_id

    async def login(self, email: str, password: str) -> Tokens:
        """Tokens for an e-mail and a password; InvalidCredentials for either being wrong."""
        return await self._start("USER_PASSWORD_AUTH", {"USERNAME": email, "PASSWORD": password})

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token."""
        return await self._start("REFRESH_TOKEN_AUTH", {"REFRESH_TOKEN": refresh_token})

    async def _start(self, flow: str, parameters: dict[str, str]) -> Tokens:
        if not all(parameters.values()):
            raise InvalidCredentials
        try:
            answer = await self._client.initiate_auth(
                AuthFlow=flow, ClientId=self._client_id, AuthParameters=parameters
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _REFUSALS:
                raise InvalidCredentials from None
            raise ProviderUnavailable from error
        except (BotoCoreError, OSError, aiohttp.ClientError, TimeoutError) as error:
            raise ProviderUnavailable from error
        result = answer.get("AuthenticationResult")
        if result is None:
            # The provider wants another step (a new password, a second factor) that has no route.
            raise InvalidCredentials
        return Tokens(
            access_token=result["AccessToken"],
            id_token=result["IdToken"],
            expires_in=result.get("ExpiresIn", 3600),
            refresh_token=result.get("RefreshToken"),
        )
