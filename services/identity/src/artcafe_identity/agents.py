"""Endpoints of agents: key creation, challenge-response authentication and tokens."""

import asyncio
import hashlib
import secrets
from datetime import UTC, datetime
from typing import NoReturn

from artcafe_common import authorization
from artcafe_common.broker.nkeys import decode_signature
from artcafe_common.bus.caller import CallerContext, current_caller
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.identity.agents import (
    AgentChallenge,
    AgentKey,
    AgentKeyIssued,
    AgentKeyType,
    AgentToken,
    AuthenticateAgent,
    AuthenticateAgentToken,
    CreateAgentChallenge,
    IssueAgentKey,
    ParseAgentKey,
    VerifyAgent,
)
from artcafe_common.contracts.identity.clients import AuthenticationFailed, ClientIdentity, Permissions
from artcafe_common.contracts.tenancy.agents import AgentNotFound
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.credentials import AgentCredential, FindAgentCredential
from artcafe_common.contracts.tenancy.members import Role
from artcafe_identity import agent_keys
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.agent_tokens import AgentTokenIssuer
from artcafe_identity.login_failures import LoginFailureReporter
from artcafe_identity.rate_limits import IssuanceLimits
from artcafe_identity.settings import Settings
from artcafe_identity.store import Store

# Marks challenges that identity issued; challenges that agents generate must not start with it.
CHALLENGE_PREFIX = "ch_"
CHALLENGE_BYTES = 32
# The length of the prefix and the bytes in base64url without padding.
ISSUED_CHALLENGE_LENGTH = 46
MAX_ID_LENGTH = 128
MAX_CLIENT_CHALLENGE_LENGTH = 256
MAX_SIGNATURE_LENGTH = 2048
USED_CHALLENGE_TTL_S = 24 * 3600


class AgentEndpoints:
    """The commands of agents: keys, challenges and authentication."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        issuance_limits: IssuanceLimits,
        accounts: AccountRepository,
        bus: Bus,
        agent_tokens: AgentTokenIssuer,
        login_failures: LoginFailureReporter,
    ) -> None:
        self._settings = settings
        self._store = store
        self._issuance_limits = issuance_limits
        self._accounts = accounts
        self._bus = bus
        self._agent_tokens = agent_tokens
        self._login_failures = login_failures
        # Verified when the agent does not exist, so that both cases take the same time.
        self._dummy_key = agent_keys.generate(AgentKeyType.ED25519)[0].public_key

    # -- keys ----------------------------------------------------------------------------------

    @handles(ParseAgentKey)
    async def parse_agent_key(self, request: ParseAgentKey) -> AgentKey:
        try:
            return agent_keys.describe(agent_keys.load(request.public_key))
        except agent_keys.InvalidAgentKeyError as error:
            field = FieldError(field="public_key", message=str(error))
            raise InvalidRequest(field.message, errors=(field,)) from None

    @handles(IssueAgentKey)
    async def issue_agent_key(self, request: IssueAgentKey) -> AgentKeyIssued:
        tenant_id = authorization.require_role(Role.MEMBER)
        await self._issuance_limits.acquire_key(tenant_id)
        key, private_key = await asyncio.to_thread(agent_keys.generate, request.key_type)
        return AgentKeyIssued(key=key, private_key=private_key)

    # -- authentication ------------------------------------------------------------------------

    @handles(CreateAgentChallenge)
    async def create_agent_challenge(self, request: CreateAgentChallenge) -> AgentChallenge:
        # The agent is not looked up, so neither the response nor its timing reveals whether it exists.
        await self._issuance_limits.acquire_challenge(request.agent_id, current_caller().ip)
        challenge = CHALLENGE_PREFIX + secrets.token_urlsafe(CHALLENGE_BYTES)
        expires_at = await self._store.create_challenge(
            challenge, _challenge_subject(request.agent_id), self._settings.challenge_ttl_s
        )
        return AgentChallenge(challenge=challenge, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(VerifyAgent)
    async def verify_agent(self, request: VerifyAgent) -> AgentToken:
        agent = await self._authenticate(request)
        token, expires_at = self._agent_tokens.issue(
            agent_id=agent.agent_id, tenant_id=agent.tenant_id, fingerprint=agent.fingerprint
        )
        return AgentToken(valid=True, token=token, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(AuthenticateAgent)
    async def authenticate_agent(self, request: AuthenticateAgent) -> ClientIdentity:
        return await self._to_identity(await self._authenticate(request))

    @handles(AuthenticateAgentToken)
    async def authenticate_agent_token(self, request: AuthenticateAgentToken) -> ClientIdentity:
        try:
            claims = self._agent_tokens.verify(request.token)
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
        return await self._to_identity(agent)

    async def _authenticate(self, request: VerifyAgent | AuthenticateAgent) -> AgentCredential:
        """The active agent that signed the challenge, which is then used. Raises AuthenticationFailed."""
        try:
            return await self._verify_challenge(request)
        except AuthenticationFailed:
            self._reject(request.agent_id)

    def _reject(self, agent_id: str) -> NoReturn:
        """Record the failed login for the claimed agent's organization and raise AuthenticationFailed."""
        self._login_failures.record_unverified(agent_id=agent_id)
        raise AuthenticationFailed

    async def _verify_challenge(self, request: VerifyAgent | AuthenticateAgent) -> AgentCredential:
        if len(request.agent_id) > MAX_ID_LENGTH or len(request.signature) > MAX_SIGNATURE_LENGTH:
            raise AuthenticationFailed
        issued = request.challenge.startswith(CHALLENGE_PREFIX)
        if issued:
            # Consumed before any other check: a challenge allows one attempt.
            used = len(request.challenge) == ISSUED_CHALLENGE_LENGTH and await self._store.consume_challenge(
                request.challenge, _challenge_subject(request.agent_id)
            )
            if not used:
                raise AuthenticationFailed
        elif not (
            self._settings.allow_client_challenge
            and 1 <= len(request.challenge) <= MAX_CLIENT_CHALLENGE_LENGTH
        ):
            raise AuthenticationFailed
        agent = await self._find(request.agent_id)
        key = agent_keys.load(agent.public_key if agent else self._dummy_key)
        signed = agent_keys.verify(
            key, request.challenge.encode("utf-8", "surrogatepass"), decode_signature(request.signature)
        )
        if agent is None or not signed or not _may_connect(agent, request.tenant_id):
            raise AuthenticationFailed
        # Stored last, so that only the agent itself can use its challenges or fill the table.
        if not issued and not await self._store.record_used_challenge(
            f"own#{agent.agent_id}#{_digest(request.challenge)}", USED_CHALLENGE_TTL_S
        ):
            raise AuthenticationFailed
        return agent

    async def _find(self, agent_id: str) -> AgentCredential | None:
        try:
            return await self._bus.call(
                FindAgentCredential(agent_id=agent_id), caller=CallerContext.service("identity")
            )
        except AgentNotFound:
            return None

    async def _to_identity(self, agent: AgentCredential) -> ClientIdentity:
        account = await self._accounts.get_signing_account(agent.tenant_id)
        return ClientIdentity(
            client_id=agent.agent_id,
            tenant_id=agent.tenant_id,
            account=account.item.account,
            name=agent.name,
            permissions=Permissions(),
        )


def _may_connect(agent: AgentCredential, tenant_id: str | None) -> bool:
    return agent.state is ClientState.ACTIVE and tenant_id in (None, agent.tenant_id)


def _challenge_subject(agent_id: str) -> str:
    # Separates the challenges of agents from the nonces of clients.
    return f"agent#{agent_id}"


def _digest(challenge: str) -> str:
    return hashlib.sha256(challenge.encode("utf-8", "surrogatepass")).hexdigest()
