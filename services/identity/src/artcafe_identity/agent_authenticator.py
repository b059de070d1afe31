"""Challenge-response and token authentication of agents."""

import hashlib
import secrets
from typing import NoReturn

from artcafe_common.broker.nkeys import decode_signature
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.identity.agents import (
    AgentKeyType,
    AuthenticateAgent,
    AuthenticateAgentToken,
    VerifyAgent,
)
from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_common.contracts.tenancy.agents import AgentNotFound
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.credentials import AgentCredential, FindAgentCredential
from artcafe_identity import agent_keys
from artcafe_identity.agent_tokens import AgentTokenIssuer
from artcafe_identity.login_failures import LoginFailureReporter
from artcafe_identity.settings import Settings
from artcafe_identity.store import Store
from artcafe_identity.tables import MAX_ID_LENGTH

# Marks challenges that identity issued; challenges that agents generate must not start with it.
CHALLENGE_PREFIX = "ch_"
CHALLENGE_BYTES = 32
# The length of the prefix and the bytes in base64url without padding.
ISSUED_CHALLENGE_LENGTH = 46
MAX_CLIENT_CHALLENGE_LENGTH = 256
MAX_SIGNATURE_LENGTH = 2048
USED_CHALLENGE_TTL_S = 24 * 3600


class AgentAuthenticator:
    """Authenticates agents by a signed challenge or by a token."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        bus: Bus,
        tokens: AgentTokenIssuer,
        login_failures: LoginFailureReporter,
    ) -> None:
        self._settings = settings
        self._store = store
        self._bus = bus
        self._tokens = tokens
        self._login_failures = login_failures
        # Verified when the agent does not exist, so that both cases take the same time.
        self._dummy_key = agent_keys.generate(AgentKeyType.ED25519)[0].public_key

    async def issue_challenge(self, agent_id: str) -> tuple[str, int]:
        """A new challenge and its expiry in Unix seconds.

        The agent is not looked up, so neither the result nor its timing reveals whether it exists.
        """
        challenge = CHALLENGE_PREFIX + secrets.token_urlsafe(CHALLENGE_BYTES)
        expires_at = await self._store.create_challenge(
            challenge, _challenge_subject(agent_id), self._settings.challenge_ttl_s
        )
        return challenge, expires_at

    async def authenticate(self, request: VerifyAgent | AuthenticateAgent) -> AgentCredential:
        """The active agent that signed the challenge, which is then used. Raises AuthenticationFailed."""
        try:
            return await self._verify_challenge(request)
        except AuthenticationFailed:
            self._reject(request.agent_id)

    async def authenticate_token(self, request: AuthenticateAgentToken) -> AgentCredential:
        """The active agent of a token whose key is unchanged. Raises AuthenticationFailed."""
        try:
            claims = self._tokens.verify(request.token)
        except AuthenticationFailed:
            self._reject(request.agent_id)
        agent = await self._find(request.agent_id) if claims.sub == request.agent_id else None
        if (
            agent is None
            or agent.tenant_id != claims.tid
            or agent.fingerprint != claims.key
            or not _may_connect(agent, request.tenant_id)
        ):
            self._login_failures.record_verified(f"agent:{claims.sub}", claims.tid)
            if claims.sub == request.agent_id:
                raise AuthenticationFailed
            self._reject(request.agent_id)
        return agent

    def _reject(self, agent_id: str) -> NoReturn:
        """Record the failed login for the claimed agent's organization and raise AuthenticationFailed."""
        self._login_failures.record_unverified(agent_id=agent_id)
        raise AuthenticationFailed

    async def _verify_challenge(self, request: VerifyAgent | AuthenticateAgent) -> AgentCredential:
        if len(request.agent_id) > MAX_ID_LENGTH or len(request.signature) > MAX_SIGNATURE_LENGTH:
            raise AuthenticationFailed
        issued = request.challenge.startswith(CHALLENGE_PREFIX)
        # An issued challenge is consumed before any other check: it allows one attempt.
        accepted = (
            await self._consume_issued(request.challenge, request.agent_id)
            if issued
            else self._accepts_client_challenge(request.challenge)
        )
        if not accepted:
            raise AuthenticationFailed
        agent = await self._find(request.agent_id)
        try:
            key = agent_keys.load(agent.public_key if agent else self._dummy_key)
        except agent_keys.InvalidAgentKeyError:
            # Stored by an earlier release, which accepted it.
            raise AuthenticationFailed from None
        signed = agent_keys.verify(key, _encode(request.challenge), decode_signature(request.signature))
        if agent is None or not signed or not _may_connect(agent, request.tenant_id):
            raise AuthenticationFailed
        # Stored last, so that only the agent itself can use its challenges or fill the table.
        if not issued and not await self._record_used(request.challenge, agent.agent_id):
            raise AuthenticationFailed
        return agent

    async def _consume_issued(self, challenge: str, agent_id: str) -> bool:
        return len(challenge) == ISSUED_CHALLENGE_LENGTH and await self._store.consume_challenge(
            challenge, _challenge_subject(agent_id)
        )

    def _accepts_client_challenge(self, challenge: str) -> bool:
        return self._settings.allow_client_challenge and 1 <= len(challenge) <= MAX_CLIENT_CHALLENGE_LENGTH

    async def _record_used(self, challenge: str, agent_id: str) -> bool:
        digest = hashlib.sha256(_encode(challenge)).hexdigest()
        return await self._store.record_used_challenge(f"own#{agent_id}#{digest}", USED_CHALLENGE_TTL_S)

    async def _find(self, agent_id: str) -> AgentCredential | None:
        try:
            return await self._bus.call(
                FindAgentCredential(agent_id=agent_id), caller=CallerContext.service("identity")
            )
        except AgentNotFound:
            return None


def _may_connect(agent: AgentCredential, tenant_id: str | None) -> bool:
    return agent.state is ClientState.ACTIVE and tenant_id in (None, agent.tenant_id)


def _challenge_subject(agent_id: str) -> str:
    # Separates the challenges of agents from the nonces of clients.
    return f"agent#{agent_id}"


def _encode(challenge: str) -> bytes:
    return challenge.encode("utf-8", "surrogatepass")
