"""Verification of user tokens: RS256 JWTs of one OpenID provider, checked against its JWKS."""

import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import structlog
from joserfc import jws, jwt
from joserfc.errors import JoseError
from msgspec import Meta

from artcafe_common.contracts.identity.users import InvalidToken, User
from artcafe_identity.jwks import JwksCache
from artcafe_identity.user_details import read_details

ALGORITHMS = ["RS256"]
LEEWAY_S = 30
MAX_TOKEN_LENGTH = 16 * 1024
# Raised by parsing an untrusted token; a deeply nested one causes RecursionError.
_MALFORMED_TOKEN = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
log = structlog.get_logger()


# The latest time that `datetime` supports: the end of the year 9999.
_MAX_TIMESTAMP = 253_402_300_799


# RFC 7519: times may have fractions.
_Time = Annotated[float, Meta(ge=0, le=_MAX_TIMESTAMP)]


class _Claims(msgspec.Struct, frozen=True):
    sub: str
    iss: str
    exp: _Time
    token_use: str
    iat: _Time | None = None
    nbf: _Time | None = None
    aud: str | list[str] | None = None
    client_id: str | None = None


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
        details = read_details(decoded.claims)
        return User(
            user_id=claims.sub,
            email=details.email,
            name=details.name,
            email_verified=details.email_verified,
            expires_at=datetime.fromtimestamp(claims.exp, UTC),
        )

    def _check_claims(self, claims: _Claims) -> None:
        now = time.time()
        audience = claims.client_id if claims.token_use == "access" else claims.aud  # noqa: S105
        valid = (
            claims.iss == self._issuer
            and claims.token_use in ("access", "id")
            and self._client_id in ([audience] if isinstance(audience, str) else audience or [])
            and claims.exp > now - LEEWAY_S
            and (claims.nbf or 0) <= now + LEEWAY_S
            and (claims.iat or 0) <= now + LEEWAY_S
        )
        if not valid or not claims.sub:
            raise InvalidToken
