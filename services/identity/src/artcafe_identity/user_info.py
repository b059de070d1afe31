"""What the OpenID provider says of the person of an access token, which itself contains neither e-mail nor name."""

import asyncio
from typing import Any, Protocol

import httpx
import msgspec

from artcafe_common.bus.errors import DECODE_ERRORS
from artcafe_common.contracts.identity.users import ProviderUnavailable
from artcafe_identity.cognito import Cognito
from artcafe_identity.user_details import UserDetails, read_details

TIMEOUT_S = 3.0
MAX_BYTES = 64 * 1024


class UserInfo(Protocol):
    """Reads the details of a person."""

    async def get(self, token: str, user_id: str) -> UserDetails:
        """The details of the token's person; empty if the provider refuses. Raises ProviderUnavailable."""


class UserInfoEndpoint:
    """The user-info endpoint of OpenID Connect (core 1.0, section 5.3)."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http

    async def get(self, token: str, user_id: str) -> UserDetails:
        """As UserInfo."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                claims = await self._fetch(token)
        except (httpx.HTTPError, TimeoutError, ValueError, *DECODE_ERRORS) as error:
            raise ProviderUnavailable from error
        return UserDetails() if claims.get("sub") != user_id else read_details(claims)

    async def _fetch(self, token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._http.stream("GET", self._url, headers=headers, timeout=TIMEOUT_S) as response:
            if response.status_code in (400, 401, 403):
                return {}
            response.raise_for_status()
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise ValueError("the user info is too long")
            return msgspec.json.decode(body, type=dict[str, Any])


class UserPoolInfo:
    """The user pool of Cognito, which has a user-info endpoint only for tokens of its own sign-in page."""

    def __init__(self, cognito: Cognito) -> None:
        self._cognito = cognito

    async def get(self, token: str, user_id: str) -> UserDetails:
        """As UserInfo."""
        claims = await self._cognito.get_attributes(token)
        return UserDetails() if claims.get("sub") != user_id else read_details(claims)
