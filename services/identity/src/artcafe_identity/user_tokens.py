"""Verification of user tokens: RS256 JWTs of one OpenID provider, checked against its JWKS."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import msgspec
import structlog
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import Meta

from artcafe_common.contracts.identity.users import InvalidToken, ProviderUnavailable, User

ALGORITHMS = ["RS256"]
LEEWAY_S = 30
MAX_TOKEN_LENGTH = 16 * 1024
FETCH_TIMEOUT_S = 3
# Unknown key ids trigger at most one refresh per this interval, so that forged tokens cannot flood
# the provider.
REFRESH_INTERVAL_S = 60
# The retry interval until the first keys are fetched.
INITIAL_RETRY_S = 1
# Withdrawn keys are trusted for at most this long.
MAX_AGE_S = 600
# Raised by parsing an untrusted token; a deeply nested one causes RecursionError.
_MALFORMED_TOKEN = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
log = structlog.get_logger()


class JwksCache:
    """The provider's public keys by key id, cached."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._attempted_at = float("-inf")
        self._refresh_lock = asyncio.Lock()

    async def get_key(self, kid: str) -> Any:
        """The key with this id, refreshed when unknown. Raises InvalidToken or ProviderUnavailable."""
        if not self._has_fresh_key(kid):
            # Concurrent callers share one refresh.
            async with self._refresh_lock:
                if not self._has_fresh_key(kid):
                    await self._refresh_if_due()
        if kid in self._keys:
            return self._keys[kid]
        raise InvalidToken

    def _has_fresh_key(self, kid: str) -> bool:
        return kid in self._keys and time.monotonic() - self._fetched_at <= MAX_AGE_S

    async def load(self) -> None:
        """Fetch the keys if none are cached. Raises ProviderUnavailable."""
        if not self._keys:
            async with self._refresh_lock:
                await self._refresh_if_due()

    async def _refresh_if_due(self) -> None:
        now = time.monotonic()
        if now - self._attempted_at > (REFRESH_INTERVAL_S if self._keys else INITIAL_RETRY_S):
            await self._refresh(now)
        elif not self._keys:
            raise ProviderUnavailable

    async def _refresh(self, now: float) -> None:
        self._attempted_at = now
        try:
            response = await self._http.get(self._url, timeout=FETCH_TIMEOUT_S)
            response.raise_for_status()
            keys = KeySet.import_key_set(response.json())
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("jwks_fetch_failed", reason=repr(error))
            if not self._keys:
                raise ProviderUnavailable from error
            return
        self._keys = {key.kid: key for key in keys.keys if key.kid}
        self._fetched_at = now


# The latest time that `datetime` supports: the end of the year 9999.
_MAX_TIMESTAMP = 253_402_300_799


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    iss: str
    exp: Annotated[int, Meta(le=_MAX_TIMESTAMP)]
    token_use: str
    iat: int = 0
    nbf: int = 0
    aud: str | None = None
    client_id: str | None = None
    email: str = ""


class UserTokenVerifier:
    """Verifies a token's signature, issuer, audience, use and validity period with a pinned algorithm."""

    def __init__(self, *, jwks: JwksCache, issuer: str, client_id: str) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._client_id = client_id

    async def verify(self, token: str) -> User:
        """The user of the token. Raises InvalidToken without details, or ProviderUnavailable."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            if header.get("alg") not in ALGORITHMS:
                raise InvalidToken
            key = await self._jwks.get_key(str(header.get("kid")))
            decoded = jwt.decode(token, key, algorithms=ALGORITHMS)
            claims = msgspec.convert(decoded.claims, _Claims)
        except _MALFORMED_TOKEN as error:
            log.info("token_rejected", reason=type(error).__name__)
            raise InvalidToken from None
        self._check_claims(claims)
        return User(
            user_id=claims.sub, email=claims.email, expires_at=datetime.fromtimestamp(claims.exp, UTC)
        )

    def _check_claims(self, claims: _Claims) -> None:
        now = time.time()
        audience = claims.client_id if claims.token_use == "access" else claims.aud  # noqa: S105
        valid = (
            claims.iss == self._issuer
            and claims.token_use in ("access", "id")
            and audience == self._client_id
            and claims.exp > now - LEEWAY_S
            and claims.nbf <= now + LEEWAY_S
            and claims.iat <= now + LEEWAY_S
        )
        if not valid or not claims.sub:
            raise InvalidToken
