"""Agents (legacy), which authenticate with an SSH key."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.agents import AgentKeyType
from artcafe_common.contracts.identity.clients import KeyRateExceeded
from artcafe_common.contracts.tenancy.clients import Client, ClientState, ClientStatus
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import (
    Description,
    DisplayName,
    Metadata,
    NamePart,
    NameTaken,
    PlanLimitReached,
    PublicKeyText,
)
from artcafe_common.contracts.tenancy.list_query import ListQuery


class AgentNotFound(CommandError):
    """The organization has no agent with this id."""

    status = 404
    code = "agent_not_found"
    title = "The agent was not found"
    remedy = "Check the id with `GET /api/v1/agents`."


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent (legacy); `public_key` is in OpenSSH format."""

    agent_id: str
    tenant_id: str
    name: str
    description: str
    public_key: str
    key_type: AgentKeyType
    fingerprint: str
    status: ClientStatus
    last_seen: datetime | None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of agents."""

    agents: list[Agent]
    next_cursor: str | None


class CreatedAgent(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent. `private_key` (PEM) is set if the key pair was created for it; it is returned only here."""

    agent: Agent
    private_key: str | None = None


class AgentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The number of agents by status."""

    total: int
    online: int
    offline: int
    suspended: int


class CreateAgent(Command[CreatedAgent], frozen=True, kw_only=True):
    """Create an agent with the given public key, or with a new key pair of `key_type`."""

    subject = "artcafe.tenancy.agent.create"
    raises = (NameTaken, PlanLimitReached, KeyRateExceeded)
    deadline_s = 10.0
    name: DisplayName
    public_key: PublicKeyText | None = None
    key_type: AgentKeyType = AgentKeyType.ED25519
    description: Description = ""
    metadata: Metadata = {}


class ListAgents(ListQuery[Agents], frozen=True, kw_only=True):
    """List the agents of the caller's organization, optionally of one status, or whose name contains a text.

    Upper and lower case are equal in `name`. A page of a search may be short or empty without being the last.
    """

    subject = "artcafe.tenancy.agent.list"
    callers = ("gateway", "admin")
    status: ClientStatus | None = None
    name: NamePart | None = None


class GetAgent(Query[Agent], frozen=True, kw_only=True):
    """Get an agent of the caller's organization."""

    subject = "artcafe.tenancy.agent.get"
    raises = (AgentNotFound,)
    agent_id: str


class UpdateAgent(ConditionalCommand[Agent], frozen=True, kw_only=True):
    """Update the given fields of an agent. Suspending it or replacing its key ends its connections."""

    subject = "artcafe.tenancy.agent.update"
    raises = (AgentNotFound, NameTaken, PreconditionFailed)
    agent_id: str
    name: DisplayName | UnsetType = UNSET
    status: ClientState | UnsetType = UNSET
    public_key: PublicKeyText | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteAgent(ConditionalCommand[Agent], frozen=True, kw_only=True):
    """Delete an agent; its connections end within a second."""

    subject = "artcafe.tenancy.agent.delete"
    raises = (AgentNotFound, PreconditionFailed)
    agent_id: str


class MigrateAgent(Command[Client], frozen=True, kw_only=True):
    """Replace an agent by a client with the same id, name, state and metadata.

    An operator's command, not a route. The agent's connections end.
    """

    subject = "artcafe.tenancy.agent.migrate"
    callers = ("admin",)
    raises = (AgentNotFound, NameTaken)
    agent_id: str
    nkey_public: str


class SummarizeAgents(Query[AgentSummary], frozen=True, kw_only=True):
    """Count the agents of the caller's organization by status."""

    subject = "artcafe.tenancy.agent.summarize"
    deadline_s = 10.0
    patience_s = 4.0
