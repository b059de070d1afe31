"""Whether an agent is who it says: challenges that work once, signatures, tokens; and its keys."""

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
from artcafe_identity.agent_tokens import AgentTokens
from artcafe_identity.login_failures import LoginFailures
from artcafe_identity.settings import Settings
from artcafe_identity.store import DAY_S, Rates, Store

# Tells our challenges from those that an agent made itself, which may not begin so.
PREFIX = "ch_"
RANDOM_BYTES = 32
# The prefix, and those bytes in base64url without padding.
LENGTH = 46
MAX_ID = 128
MAX_OWN_CHALLENGE = 256
MAX_SIGNATURE = 2048


class AgentEndpoints:
    """The commands about agents."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        rates: Rates,
        registry: AccountRepository,
        bus: Bus,
        tokens: AgentTokens,
        knocks: LoginFailures,
    ) -> None:
        self._settings = settings
        self._store = store
        self._rates = rates
        self._registry = registry
        self._bus = bus
        self._agent_tokens = tokens
        self._knocks = knocks
        # Verified in place of an agent that does not exist.
        self._nobody = agent_keys.generate(AgentKeyType.ED25519)[0].public_key

    # -- keys ----------------------------------------------------------------------------------

    @handles(ParseAgentKey)
    async def read_agent_key(self, request: ParseAgentKey) -> AgentKey:
        try:
            return agent_keys.describe(agent_keys.load(request.public_key))
        except agent_keys.InvalidAgentKeyError as error:
            field = FieldError(field="public_key", message=str(error))
            raise InvalidRequest(field.message, errors=(field,)) from None

    @handles(IssueAgentKey)
    async def issue_agent_key(self, request: IssueAgentKey) -> AgentKeyIssued:
        tenant_id = authorization.require_role(Role.MEMBER)
        await self._rates.new_key(tenant_id)
        key, private_key = await asyncio.to_thread(agent_keys.generate, request.key_type)
        return AgentKeyIssued(key=key, private_key=private_key)

    # -- proofs --------------------------------------------------------------------------------

    @handles(CreateAgentChallenge)
    async def create_agent_challenge(self, request: CreateAgentChallenge) -> AgentChallenge:
        # The agent is not looked up: whether it exists shows neither in the answer nor in its time.
        await self._rates.new_challenge(request.agent_id, current_caller().ip)
        challenge = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        expires_at = await self._store.add_challenge(
            challenge, _subject(request.agent_id), self._settings.challenge_ttl_s
        )
        return AgentChallenge(challenge=challenge, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(VerifyAgent)
    async def verify_agent(self, request: VerifyAgent) -> AgentToken:
        agent = await self._proven(request)
        token, expires_at = self._agent_tokens.issue(
            agent_id=agent.agent_id, tenant_id=agent.tenant_id, fingerprint=agent.fingerprint
        )
        return AgentToken(valid=True, token=token, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(AuthenticateAgent)
    async def authenticate_agent(self, request: AuthenticateAgent) -> ClientIdentity:
        return await self._identity(await self._proven(request))

    @handles(AuthenticateAgentToken)
    async def authenticate_agent_token(self, request: AuthenticateAgentToken) -> ClientIdentity:
        try:
            claims = self._agent_tokens.read(request.token)
        except AuthenticationFailed:
            self._refuse(request.agent_id)
        agent = await self._find(request.agent_id) if claims.sub == request.agent_id else None
        if (
            agent is None
            or agent.tenant_id != claims.tid
            or agent.fingerprint != claims.key
            or not _admissible(agent, request.tenant_id)
        ):
            self._knocks.proven(f"agent:{claims.sub}", claims.tid)
            if claims.sub == request.agent_id:
                raise AuthenticationFailed
            self._refuse(request.agent_id)
        return await self._identity(agent)

    async def _proven(self, request: VerifyAgent | AuthenticateAgent) -> AgentCredential:
        """The active agent that signed the challenge, which is used up; else AuthenticationFailed."""
        try:
            return await self._check(request)
        except AuthenticationFailed:
            self._refuse(request.agent_id)

    def _refuse(self, agent_id: str) -> NoReturn:
        """AuthenticationFailed; the organization of who they said to be is told."""
        self._knocks.said(agent_id=agent_id)
        raise AuthenticationFailed

    async def _check(self, request: VerifyAgent | AuthenticateAgent) -> AgentCredential:
        if len(request.agent_id) > MAX_ID or len(request.signature) > MAX_SIGNATURE:
            raise AuthenticationFailed
        given = request.challenge.startswith(PREFIX)
        if given:
            # First, whoever it is that answers: a challenge is there for one try.
            used = len(request.challenge) == LENGTH and await self._store.use_challenge(
                request.challenge, _subject(request.agent_id)
            )
            if not used:
                raise AuthenticationFailed
        elif not (self._settings.allow_client_challenge and 1 <= len(request.challenge) <= MAX_OWN_CHALLENGE):
            raise AuthenticationFailed
        agent = await self._find(request.agent_id)
        key = agent_keys.load(agent.public_key if agent else self._nobody)
        signed = agent_keys.verify(
            key, request.challenge.encode("utf-8", "surrogatepass"), decode_signature(request.signature)
        )
        if agent is None or not signed or not _admissible(agent, request.tenant_id):
            raise AuthenticationFailed
        # Last, so that nobody but the agent itself can use up what it made or fill the table.
        if not given and not await self._store.remember_challenge(
            f"own#{agent.agent_id}#{_digest(request.challenge)}", DAY_S
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

    async def _identity(self, agent: AgentCredential) -> ClientIdentity:
        account = await self._registry.open(agent.tenant_id)
        return ClientIdentity(
            client_id=agent.agent_id,
            tenant_id=agent.tenant_id,
            account=account.item.account,
            name=agent.name,
            permissions=Permissions(),
        )


def _admissible(agent: AgentCredential, tenant_id: str | None) -> bool:
    return agent.state is ClientState.ACTIVE and tenant_id in (None, agent.tenant_id)


def _subject(agent_id: str) -> str:
    # A client's nonce is no agent's challenge.
    return f"agent#{agent_id}"


def _digest(challenge: str) -> str:
    return hashlib.sha256(challenge.encode("utf-8", "surrogatepass")).hexdigest()
