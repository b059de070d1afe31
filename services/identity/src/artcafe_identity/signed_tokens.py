"""JWTs that identity signs itself: the tokens of agents and of clients."""

import time
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from artcafe_common.key_ring import KeyRing

# RFC 9864's name for EdDSA with this curve.
ALGORITHM = "Ed25519"
ISSUER = "artcafe-identity"
LEEWAY_S = 30
MAX_TOKEN_LENGTH = 16 * 1024
_MALFORMED_TOKEN = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Claims(Protocol):
    """The registered claims that every token has."""

    @property
    def iss(self) -> str: ...
    @property
    def aud(self) -> str: ...
    @property
    def iat(self) -> int: ...
    @property
    def exp(self) -> int: ...


C = TypeVar("C", bound=Claims)


class TokenSigner(Generic[C]):
    """Signs and verifies the tokens of one audience and type, with 32-byte Ed25519 keys."""

    def __init__(self, seeds: KeyRing, claims_type: type[C], *, audience: str, token_type: str) -> None:
        self._seeds = seeds
        self._claims_type = claims_type
        self._audience = audience
        self._token_type = token_type

    def sign(self, claims: C) -> str:
        """The token with these claims."""
        header = {"alg": ALGORITHM, "typ": self._token_type}
        return jwt.encode(
            header, msgspec.to_builtins(claims), _key(self._seeds.current), algorithms=[ALGORITHM]
        )

    def verify(self, token: str) -> C | None:
        """The claims of a token of this audience and type that is valid now; None for any other."""
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        claims = next(filter(None, (self._decode(token, seed) for seed in self._seeds.accepted)), None)
        if claims is None or (claims.iss, claims.aud) != (ISSUER, self._audience):
            return None
        return claims if claims.iat - LEEWAY_S <= time.time() < claims.exp else None

    def _decode(self, token: str, seed: bytes) -> C | None:
        try:
            decoded = jwt.decode(token, _key(seed), algorithms=[ALGORITHM])
            if decoded.header.get("typ") != self._token_type:
                return None
            return msgspec.convert(decoded.claims, self._claims_type)
        except _MALFORMED_TOKEN:
            return None


@lru_cache(maxsize=8)
def _key(seed: bytes) -> Any:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return OKPKey.import_key(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
