"""Endpoints of agents: key creation, challenges, authentication and tokens."""

import asyncio
from datetime import UTC, datetime

from artcafe_common import authorization
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.identity.agents import (
    AgentChallenge,
    AgentKey,
    AgentToken,
    AuthenticateAgent,
    AuthenticateAgentToken,
    CreateAgentChallenge,
    IssueAgentKey,
    IssuedAgentKey,
    ParseAgentKey,
    VerifyAgent,
)
from artcafe_common.contracts.identity.clients import ClientIdentity, Permissions
from artcafe_common.contracts.tenancy.credentials import AgentCredential
from artcafe_common.contracts.tenancy.members import Role
from artcafe_identity import agent_keys
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.agent_authenticator import AgentAuthenticator
from artcafe_identity.agent_tokens import AgentTokenIssuer
from artcafe_identity.rate_limits import IssuanceLimits


class AgentEndpoints:
    """The commands of agents."""

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        issuance_limits: IssuanceLimits,
        agent_authenticator: AgentAuthenticator,
        agent_tokens: AgentTokenIssuer,
    ) -> None:
        self._accounts = accounts
        self._issuance_limits = issuance_limits
        self._agent_authenticator = agent_authenticator
        self._agent_tokens = agent_tokens

    # -- keys ----------------------------------------------------------------------------------

    @handles(ParseAgentKey)
    async def parse_agent_key(self, request: ParseAgentKey) -> AgentKey:
        try:
            return agent_keys.describe(agent_keys.load(request.public_key))
        except agent_keys.InvalidAgentKeyError as error:
            field = FieldError(field="public_key", message=str(error))
            raise InvalidRequest(field.message, errors=(field,)) from None

    @handles(IssueAgentKey)
    async def issue_agent_key(self, request: IssueAgentKey) -> IssuedAgentKey:
        tenant_id = authorization.require_role(Role.MEMBER)
        await self._issuance_limits.acquire_key(tenant_id)
        key, private_key = await asyncio.to_thread(agent_keys.generate, request.key_type)
        return IssuedAgentKey(key=key, private_key=private_key)

    # -- authentication ------------------------------------------------------------------------

    @handles(CreateAgentChallenge)
    async def create_agent_challenge(self, request: CreateAgentChallenge) -> AgentChallenge:
        await self._issuance_limits.acquire_challenge(request.agent_id, current_caller().ip)
        challenge, expires_at = await self._agent_authenticator.issue_challenge(request.agent_id)
        return AgentChallenge(challenge=challenge, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(VerifyAgent)
    async def verify_agent(self, request: VerifyAgent) -> AgentToken:
        agent = await self._agent_authenticator.authenticate(request)
        await self._accounts.get_active_account(agent.tenant_id)
        token, expires_at = self._agent_tokens.issue(
            agent_id=agent.agent_id, tenant_id=agent.tenant_id, fingerprint=agent.fingerprint
        )
        return AgentToken(valid=True, token=token, expires_at=datetime.fromtimestamp(expires_at, UTC))

    @handles(AuthenticateAgent)
    async def authenticate_agent(self, request: AuthenticateAgent) -> ClientIdentity:
        return await self._to_identity(await self._agent_authenticator.authenticate(request))

    @handles(AuthenticateAgentToken)
    async def authenticate_agent_token(self, request: AuthenticateAgentToken) -> ClientIdentity:
        return await self._to_identity(await self._agent_authenticator.authenticate_token(request))

    async def _to_identity(self, agent: AgentCredential) -> ClientIdentity:
        account = await self._accounts.get_active_account(agent.tenant_id)
        return ClientIdentity(
            client_id=agent.agent_id,
            tenant_id=agent.tenant_id,
            account=account.item.account,
            name=agent.name,
            permissions=Permissions(),
            updated_at=agent.updated_at,
        )
