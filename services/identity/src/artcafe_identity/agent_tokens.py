"""Agent tokens: JWTs signed by identity, valid only for the agent's own WebSocket."""

import time
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_common.key_ring import KeyRing

# RFC 9864's name for EdDSA with this curve.
ALGORITHM = "Ed25519"
ISSUER = "artcafe-identity"
AUDIENCE = "artcafe-agent-websocket"
TOKEN_TTL_S = 3600
LEEWAY_S = 30
MAX_TOKEN_LENGTH = 4096
_MALFORMED_TOKEN = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class AgentClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of agent `sub` of tenant `tid`, valid while the fingerprint of its key is `key`."""

    iss: str
    aud: str
    sub: str
    tid: str
    key: str
    iat: int
    exp: int


class AgentTokenIssuer:
    """Issues and verifies agent tokens with 32-byte Ed25519 keys."""

    def __init__(self, seeds: KeyRing) -> None:
        self._seeds = seeds

    def issue(self, *, agent_id: str, tenant_id: str, fingerprint: str) -> tuple[str, int]:
        """A new token and its expiry in Unix seconds."""
        now = int(time.time())
        claims = AgentClaims(
            iss=ISSUER,
            aud=AUDIENCE,
            sub=agent_id,
            tid=tenant_id,
            key=fingerprint,
            iat=now,
            exp=now + TOKEN_TTL_S,
        )
        header = {"alg": ALGORITHM, "typ": "JWT"}
        return jwt.encode(
            header, msgspec.to_builtins(claims), _key(self._seeds.current), algorithms=[ALGORITHM]
        ), claims.exp

    def verify(self, token: str) -> AgentClaims:
        """The claims of a valid token. Raises AuthenticationFailed."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise AuthenticationFailed
        claims = next(filter(None, (_decode(token, seed) for seed in self._seeds.accepted)), None)
        if claims is None:
            raise AuthenticationFailed
        now = time.time()
        if (claims.iss, claims.aud) != (ISSUER, AUDIENCE) or not claims.iat - LEEWAY_S <= now < claims.exp:
            raise AuthenticationFailed
        return claims


def _decode(token: str, seed: bytes) -> AgentClaims | None:
    try:
        decoded = jwt.decode(token, _key(seed), algorithms=[ALGORITHM])
        return msgspec.convert(decoded.claims, AgentClaims)
    except _MALFORMED_TOKEN:
        return None


@lru_cache(maxsize=8)
def _key(seed: bytes) -> Any:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return OKPKey.import_key(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
