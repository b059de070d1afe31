"""Endpoints of agents, the legacy kind of client."""

from typing import Any

from msgspec import UNSET, structs

from artcafe_common import authorization, clock
from artcafe_common.broker import nkeys
from artcafe_common.bus.caller import current_tenant
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.identity.agents import AgentKey, IssueAgentKey, ParseAgentKey
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.agents import (
    Agent,
    AgentNotFound,
    Agents,
    AgentSummary,
    CreateAgent,
    CreatedAgent,
    DeleteAgent,
    GetAgent,
    ListAgents,
    MigrateAgent,
    SummarizeAgents,
    UpdateAgent,
)
from artcafe_common.contracts.tenancy.clients import Client, ClientState, ClientStatus
from artcafe_common.contracts.tenancy.credentials import AgentCredential, FindAgentCredential
from artcafe_common.contracts.tenancy.events import AgentRevoked, ClientChanged, RevocationReason
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import LIMITS
from artcafe_tenancy import metadata, names
from artcafe_tenancy.clients import to_client
from artcafe_tenancy.endpoint_base import EndpointBase, changed_fields, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry
from artcafe_tenancy.presence_mirror import from_microseconds
from artcafe_tenancy.tables import AgentItem, ClientItem
from artcafe_tenancy.unique_names import status_filter

SUMMARY_PAGE_SIZE = 500


class AgentEndpoints(EndpointBase):
    """Commands of agents, which authenticate with an SSH key."""

    @handles(CreateAgent)
    async def create_agent(self, request: CreateAgent) -> CreatedAgent:
        tenant_id = authorization.require_role(Role.MEMBER)
        names.check(request.name)
        metadata.check(request.metadata)
        tenant = await self.get_tenant(tenant_id)
        limit = LIMITS[tenant.plan].clients
        await self.store.agents.check_capacity(tenant, request.name, limit)
        private_key = None
        if request.public_key is None:
            issued = await self.bus.call(IssueAgentKey(key_type=request.key_type))
            key, private_key = issued.key, issued.private_key
        else:
            key = await self._parse_key(request.public_key)
        now = clock.now()
        agent = AgentItem(
            id=clock.new_id(),
            tenant_id=tenant_id,
            name=request.name,
            description=request.description,
            **structs.asdict(key),
            metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        await self.store.agents.create(agent, limit, _build_entry(agent, "agent.created"))
        return CreatedAgent(agent=_to_agent(agent), private_key=private_key)

    @handles(ListAgents)
    async def list_agents(self, request: ListAgents) -> Agents:
        tenant_id = authorization.require_role(Role.VIEWER)
        where = None if request.status is None else status_filter(request.status)
        items, next_cursor = await self.read_page(
            self.store.agents.list, tenant_id, "agents", request, where=where, name=request.name
        )
        return Agents(agents=[_to_agent(agent) for agent in items], next_cursor=next_cursor)

    @handles(GetAgent)
    async def get_agent(self, request: GetAgent) -> Agent:
        tenant_id = authorization.require_role(Role.VIEWER)
        agent = await self.store.agents.get(tenant_id, request.agent_id)
        return _to_agent(require_found(agent, AgentNotFound))

    @handles(UpdateAgent)
    async def update_agent(self, request: UpdateAgent) -> Agent:
        tenant_id = authorization.require_role(Role.MEMBER)
        given = changed_fields(request, key="agent_id")
        changes = {"state" if name == "status" else name: value for name, value in given.items()}
        if request.public_key is not UNSET:
            changes |= structs.asdict(await self._parse_key(request.public_key))

        def build_update_entry(before: AgentItem, agent: AgentItem) -> OutboxEntry:
            # Published even if the agent is already suspended, so that a retry closes remaining connections.
            revoked = None
            if request.status is ClientState.SUSPENDED:
                revoked = RevocationReason.SUSPENDED
            elif agent.public_key != before.public_key:
                revoked = RevocationReason.KEY_REGENERATED
            return _build_entry(agent, "agent.updated", revoked, {"changed": sorted(given)})

        agent = await self.store.agents.update(
            tenant_id, request.agent_id, changes, build_update_entry, request.check_version
        )
        return _to_agent(require_found(agent, AgentNotFound))

    @handles(DeleteAgent)
    async def delete_agent(self, request: DeleteAgent) -> Agent:
        tenant_id = authorization.require_role(Role.MEMBER)
        agent = await self.store.agents.delete(
            tenant_id,
            request.agent_id,
            lambda item: _build_entry(item, "agent.deleted", RevocationReason.DELETED),
            request.check_version,
        )
        return _to_agent(require_found(agent, AgentNotFound))

    @handles(MigrateAgent)
    async def migrate_agent(self, request: MigrateAgent) -> Client:
        authorization.require_operator()
        try:
            nkeys.decode_public(request.nkey_public, nkeys.KeyKind.USER)
        except nkeys.InvalidNKeyError as error:
            field = FieldError(field="nkey_public", message=str(error))
            raise InvalidRequest(field.message, errors=(field,)) from None

        def to_migrated_client(agent: AgentItem) -> tuple[ClientItem, OutboxEntry]:
            description = {"description": agent.description} if agent.description else {}
            client = ClientItem(
                client_id=agent.id,
                tenant_id=agent.tenant_id,
                name=agent.name,
                nkey_public=request.nkey_public,
                permissions=Permissions(),
                state=agent.state,
                online=agent.online,
                seen_us=agent.seen_us,
                told_us=agent.told_us,
                metadata={**description, **agent.metadata},
                created_at=agent.created_at,
                updated_at=clock.now(),
            )
            return client, build_entry(
                ActivityType.AGENT,
                "agent.migrated",
                f"agent:{agent.id}",
                AgentRevoked(tenant_id=agent.tenant_id, agent_id=agent.id, reason=RevocationReason.DELETED),
                ClientChanged(tenant_id=agent.tenant_id, client_id=agent.id, nkey_public=request.nkey_public),
                metadata={"name": agent.name},
            )

        client = await self.store.migrate_agent(current_tenant(), request.agent_id, to_migrated_client)
        return to_client(require_found(client, AgentNotFound))

    @handles(SummarizeAgents)
    async def summarize_agents(self, request: SummarizeAgents) -> AgentSummary:  # noqa: ARG002
        tenant_id = authorization.require_role(Role.VIEWER)
        counts = dict.fromkeys(ClientStatus, 0)
        position = None
        while True:
            page = await self.store.agents.list(tenant_id, limit=SUMMARY_PAGE_SIZE, position=position)
            for agent in page.items:
                counts[_status(agent)] += 1
            position = page.position
            if position is None:
                return AgentSummary(
                    total=sum(counts.values()), **{status.value: count for status, count in counts.items()}
                )

    @handles(FindAgentCredential)
    async def find_agent_credential(self, request: FindAgentCredential) -> AgentCredential:
        agent = require_found(await self.store.agents.find_by_id(request.agent_id), AgentNotFound)
        return AgentCredential(
            agent_id=agent.id,
            tenant_id=agent.tenant_id,
            name=agent.name,
            public_key=agent.public_key,
            fingerprint=agent.fingerprint,
            state=agent.state,
            updated_at=agent.updated_at,
        )

    async def _parse_key(self, public_key: str) -> AgentKey:
        return await self.bus.call(ParseAgentKey(public_key=public_key))


def _build_entry(
    agent: AgentItem,
    action: str,
    revoked: RevocationReason | None = None,
    metadata: dict[str, Any] | None = None,
) -> OutboxEntry:
    events = (
        []
        if revoked is None
        else [AgentRevoked(tenant_id=agent.tenant_id, agent_id=agent.id, reason=revoked)]
    )
    return build_entry(
        ActivityType.AGENT,
        action,
        f"agent:{agent.id}",
        *events,
        metadata={"name": agent.name, **(metadata or {})},
    )


def _status(agent: AgentItem) -> ClientStatus:
    if agent.state is ClientState.SUSPENDED:
        return ClientStatus.SUSPENDED
    return ClientStatus.ONLINE if agent.online else ClientStatus.OFFLINE


def _to_agent(agent: AgentItem) -> Agent:
    return Agent(
        agent_id=agent.id,
        tenant_id=agent.tenant_id,
        name=agent.name,
        description=agent.description,
        public_key=agent.public_key,
        key_type=agent.key_type,
        fingerprint=agent.fingerprint,
        status=_status(agent),
        last_seen=from_microseconds(agent.seen_us),
        metadata=agent.metadata,
        created_at=agent.created_at,
        updated_at=agent.updated_at,
    )
