"""The credentials of clients and agents, which identity uses to authenticate them."""

from datetime import datetime

import msgspec

from artcafe_common.bus.command import Query
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.agents import AgentNotFound
from artcafe_common.contracts.tenancy.clients import ClientNotFound, ClientState


class ClientCredential(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a client that its authentication needs."""

    client_id: str
    tenant_id: str
    name: str
    nkey_public: str
    state: ClientState
    permissions: Permissions
    # None from an instance of an earlier release.
    updated_at: datetime | None = None


class AgentCredential(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of an agent that its authentication needs."""

    agent_id: str
    tenant_id: str
    name: str
    public_key: str
    fingerprint: str
    state: ClientState
    updated_at: datetime | None = None


class FindClientCredential(Query[ClientCredential], frozen=True, kw_only=True):
    """Find a client of any tenant by its public key or id, to authenticate it."""

    subject = "artcafe.tenancy.client.find_credential"
    callers = ("identity",)
    raises = (ClientNotFound,)
    nkey_public: str | None = None
    client_id: str | None = None


class FindAgentCredential(Query[AgentCredential], frozen=True, kw_only=True):
    """Find an agent of any tenant by its id, to authenticate it."""

    subject = "artcafe.tenancy.agent.find_credential"
    callers = ("identity",)
    raises = (AgentNotFound,)
    agent_id: str
