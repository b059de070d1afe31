"""Tokens of agents: JWTs that identity signs, for the agent's own WebSocket and nothing else."""

import time
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from artcafe_common.contracts.identity.clients import AuthenticationFailed

# RFC 9864's name of EdDSA with this curve.
ALGORITHM = "Ed25519"
ISSUER = "artcafe-identity"
AUDIENCE = "artcafe-agent-websocket"
LIFE_S = 3600
LEEWAY_S = 30
MAX_TOKEN = 4096
_MALFORMED = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class AgentClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a token speaks for: agent `sub` of tenant `tid`, as long as its key is `key` (a fingerprint)."""

    iss: str
    aud: str
    sub: str
    tid: str
    key: str
    iat: int
    exp: int


class AgentTokens:
    """Signs and checks with one key of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        private = Ed25519PrivateKey.from_private_bytes(seed)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key: Any = OKPKey.import_key(pem)

    def issue(self, *, agent_id: str, tenant_id: str, fingerprint: str) -> tuple[str, int]:
        """A token, and when it ends in Unix seconds."""
        now = int(time.time())
        claims = AgentClaims(
            iss=ISSUER, aud=AUDIENCE, sub=agent_id, tid=tenant_id, key=fingerprint, iat=now, exp=now + LIFE_S
        )
        header = {"alg": ALGORITHM, "typ": "JWT"}
        return jwt.encode(header, msgspec.to_builtins(claims), self._key, algorithms=[ALGORITHM]), claims.exp

    def read(self, token: str) -> AgentClaims:
        """The claims of a token of ours that holds now; AuthenticationFailed otherwise."""
        if len(token) > MAX_TOKEN:
            raise AuthenticationFailed
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            claims = msgspec.convert(decoded.claims, AgentClaims)
        except _MALFORMED:
            raise AuthenticationFailed from None
        now = time.time()
        if (claims.iss, claims.aud) != (ISSUER, AUDIENCE) or not claims.iat - LEEWAY_S <= now < claims.exp:
            raise AuthenticationFailed
        return claims
