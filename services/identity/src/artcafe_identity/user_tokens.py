"""People's tokens: RS256 JWTs of one OpenID provider, checked against its cached keys."""

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
MAX_TOKEN = 16 * 1024
FETCH_TIMEOUT_S = 3
# An unknown key id asks for new keys at most this often, whoever sends the tokens.
REFRESH_PAUSE_S = 60
# While none are known at all, the provider is asked again sooner.
FIRST_PAUSE_S = 1
# Keys that the provider withdrew are not trusted for longer than this.
MAX_AGE_S = 600
# What parsing a stranger's token can raise; a deeply nested one exhausts the stack.
_MALFORMED = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
log = structlog.get_logger()


class Jwks:
    """The provider's public keys by key id."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http
        self._keys: dict[str, Any] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> Any:
        """The key with this id; InvalidToken when the provider has none, ProviderUnavailable when none is known."""
        if not self._has(kid):
            # Many may ask at once, and one of them fetches.
            async with self._asking:
                if not self._has(kid):
                    await self._refresh_if_due()
        if kid in self._keys:
            return self._keys[kid]
        raise InvalidToken

    def _has(self, kid: str) -> bool:
        return kid in self._keys and time.monotonic() - self._fetched_at <= MAX_AGE_S

    async def load(self) -> None:
        """Fetch the keys unless they are there; ProviderUnavailable when that fails."""
        if not self._keys:
            async with self._asking:
                await self._refresh_if_due()

    async def _refresh_if_due(self) -> None:
        now = time.monotonic()
        if now - self._tried_at > (REFRESH_PAUSE_S if self._keys else FIRST_PAUSE_S):
            await self._refresh(now)
        elif not self._keys:
            raise ProviderUnavailable

    async def _refresh(self, now: float) -> None:
        self._tried_at = now
        try:
            answer = await self._http.get(self._url, timeout=FETCH_TIMEOUT_S)
            answer.raise_for_status()
            keys = KeySet.import_key_set(answer.json())
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("jwks_not_fetched", reason=repr(error))
            if not self._keys:
                raise ProviderUnavailable from error
            return
        self._keys = {key.kid: key for key in keys.keys if key.kid}
        self._fetched_at = now


# The last time that Python can name: the end of the year 9999.
_LAST_SECOND = 253_402_300_799


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    iss: str
    exp: Annotated[int, Meta(le=_LAST_SECOND)]
    token_use: str
    iat: int = 0
    nbf: int = 0
    aud: str | None = None
    client_id: str | None = None
    email: str = ""


class TokenVerifier:
    """Checks a token's signature, issuer, audience, use and times; the algorithm is pinned."""

    def __init__(self, *, jwks: Jwks, issuer: str, client_id: str) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._client_id = client_id

    async def verify(self, token: str) -> User:
        """The person that the token speaks for; InvalidToken without telling why."""
        if len(token) > MAX_TOKEN:
            raise InvalidToken
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            if header.get("alg") not in ALGORITHMS:
                raise InvalidToken
            key = await self._jwks.key(str(header.get("kid")))
            decoded = jwt.decode(token, key, algorithms=ALGORITHMS)
            claims = msgspec.convert(decoded.claims, _Claims)
        except _MALFORMED as error:
            log.info("token_refused", reason=type(error).__name__)
            raise InvalidToken from None
        self._check(claims)
        return User(
            user_id=claims.sub, email=claims.email, expires_at=datetime.fromtimestamp(claims.exp, UTC)
        )

    def _check(self, claims: _Claims) -> None:
        now = time.time()
        audience = claims.client_id if claims.token_use == "access" else claims.aud  # noqa: S105
        right = (
            claims.iss == self._issuer
            and claims.token_use in ("access", "id")
            and audience == self._client_id
            and claims.exp > now - LEEWAY_S
            and claims.nbf <= now + LEEWAY_S
            and claims.iat <= now + LEEWAY_S
        )
        if not right or not claims.sub:
            raise InvalidToken
