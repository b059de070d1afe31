"""Agent tokens: JWTs signed by identity, valid only for the agent's own WebSocket."""

import time

import msgspec

from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_common.key_ring import KeyRing
from artcafe_identity.signed_tokens import ISSUER, TokenSigner

AUDIENCE = "artcafe-agent-websocket"
TOKEN_TTL_S = 3600


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
    """Issues and verifies agent tokens."""

    def __init__(self, seeds: KeyRing) -> None:
        self._signer = TokenSigner(seeds, AgentClaims, audience=AUDIENCE, token_type="JWT")  # noqa: S106 - no secret

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
        return self._signer.sign(claims), claims.exp

    def verify(self, token: str) -> AgentClaims:
        """The claims of a valid token. Raises AuthenticationFailed."""
        claims = self._signer.verify(token)
        if claims is None:
            raise AuthenticationFailed
        return claims
