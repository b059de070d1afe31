"""User login through AWS Cognito."""

from typing import Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from artcafe_common.contracts.identity.users import InvalidCredentials, ProviderUnavailable, Tokens

_REJECTIONS = frozenset(
    {
        "NotAuthorizedException",
        "UserNotFoundException",
        "UserNotConfirmedException",
        "PasswordResetRequiredException",
        "InvalidParameterException",
    }
)


class Cognito:
    """Exchanges passwords and refresh tokens for tokens. Raises ProviderUnavailable."""

    def __init__(self, client: Any, client_id: str) -> None:
        self._client = client
        self._client_id = client_id

    async def login(self, email: str, password: str) -> Tokens:
        """Tokens for an e-mail address and a password. Raises InvalidCredentials."""
        return await self._initiate_auth("USER_PASSWORD_AUTH", {"USERNAME": email, "PASSWORD": password})

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens for a refresh token. Raises InvalidCredentials."""
        return await self._initiate_auth("REFRESH_TOKEN_AUTH", {"REFRESH_TOKEN": refresh_token})

    async def _initiate_auth(self, flow: str, parameters: dict[str, str]) -> Tokens:
        if not all(parameters.values()):
            raise InvalidCredentials
        try:
            response = await self._client.initiate_auth(
                AuthFlow=flow, ClientId=self._client_id, AuthParameters=parameters
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _REJECTIONS:
                raise InvalidCredentials from None
            raise ProviderUnavailable from error
        except (BotoCoreError, OSError, aiohttp.ClientError, TimeoutError) as error:
            raise ProviderUnavailable from error
        result = response.get("AuthenticationResult")
        if result is None:
            # Cognito requires a challenge (a new password, a second factor) that the API does not support.
            raise InvalidCredentials
        return Tokens(
            access_token=result["AccessToken"],
            id_token=result["IdToken"],
            expires_in=result.get("ExpiresIn", 3600),
            refresh_token=result.get("RefreshToken"),
        )
