"""REST routes: agents, the legacy clients that authenticate with an SSH key."""

from typing import Any

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.connection import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.params import FromPath
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from artcafe_common.contracts.identity.agents import AgentChallenge, CreateAgentChallenge
from artcafe_common.contracts.presence import GetPresences
from artcafe_common.contracts.tenancy.agents import (
    Agent,
    Agents,
    AgentSummary,
    CreateAgent,
    DeleteAgent,
    GetAgent,
    ListAgents,
    SummarizeAgents,
    UpdateAgent,
)
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.rate_limiting import limit_address
from artcafe_gateway.http.request import caller_of, read_body, read_query, validate_id
from artcafe_gateway.reporting.client_presence import (
    apply_online,
    find_presences,
    read_with_online,
    with_presence,
)
from artcafe_gateway.routes.clients import PresenceReport, report_presence

PRIVATE_KEY_WARNING = "This private key is shown only once and is not stored: save it now."
SUCCESSOR = '</api/v1/clients>; rel="successor-version"'
# 2026-01-01 as an RFC 9745 date.
DEPRECATED_SINCE = "@1767225600"


class AgentConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that an agent connects to."""

    websocket_url: str
    subject_prefix: str


class NewAgent(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent. `private_key` is set when the server generated the key pair."""

    agent: Agent
    private_key: str | None
    connection: AgentConnectionInfo
    warning: str | None


class AgentReport(PresenceReport, frozen=True, kw_only=True):
    """An agent's presence, its open connections, and what it reports of itself.

    `metrics` are those of a heartbeat, `traffic` is null: agents do not report their traffic.
    """

    agent_id: str


class DeprecationHeaders(ASGIMiddleware):
    """Adds `Deprecation` and `Link` headers to every response, errors included (RFC 9745, RFC 8288)."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders(message)
                headers["Deprecation"] = DEPRECATED_SINCE
                headers["Link"] = SUCCESSOR
            await send(message)

        await next_app(scope, receive, send_with_headers)


class AgentsController(Controller):
    """Deprecated: agents are clients with an SSH key. Use `/clients` instead."""

    path = "/agents"
    tags = ["agents"]
    middleware = [DeprecationHeaders()]
    opt = {"deprecated": True}

    @get("/", summary="List the organization's agents", commands=[ListAgents])
    async def list_agents(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Agents:
        bus, caller = gateway.bus, tenant_user.caller
        reading = bus.call(read_query(request, ListAgents), caller=caller)
        page, online = await read_with_online(bus, reading, caller)
        agents = await apply_online(bus, page.agents, online, caller)
        return Agents(agents=agents, next_cursor=page.next_cursor)

    @post(
        "/",
        summary="Create an agent; a generated private key is shown only once",
        commands=[CreateAgent],
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> NewAgent:
        created = await gateway.bus.call(await read_body(request, CreateAgent), caller=tenant_user.caller)
        agent = created.agent
        return NewAgent(
            agent=agent,
            private_key=created.private_key,
            connection=AgentConnectionInfo(
                websocket_url=f"{gateway.settings.public_websocket_url}/ws/agent/{agent.agent_id}",
                subject_prefix=f"{agent.tenant_id}.",
            ),
            warning=None if created.private_key is None else PRIVATE_KEY_WARNING,
        )

    @get("/status/summary", summary="Count agents by status", commands=[SummarizeAgents])
    async def summary(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> AgentSummary:
        return await gateway.bus.call(read_query(request, SummarizeAgents), caller=tenant_user.caller)

    @get("/{agent_id:str}", summary="Get an agent", commands=[GetAgent])
    async def get_agent(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        agent_id: FromPath[str],
    ) -> Agent:
        agent = await gateway.bus.call(GetAgent(agent_id=validate_id(agent_id)), caller=tenant_user.caller)
        return with_presence(
            agent, (await find_presences(gateway.bus, [agent_id], tenant_user.caller)).get(agent_id)
        )

    @get(
        "/{agent_id:str}/status",
        summary="Get an agent's presence and connections",
        commands=[GetAgent, GetPresences],
    )
    async def status(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        agent_id: FromPath[str],
    ) -> AgentReport:
        agent = await gateway.bus.call(GetAgent(agent_id=validate_id(agent_id)), caller=tenant_user.caller)
        report = await report_presence(gateway, agent, agent.agent_id, tenant_user.caller)
        return AgentReport(agent_id=agent.agent_id, **msgspec.structs.asdict(report))

    @put("/{agent_id:str}", summary="Update or suspend an agent", commands=[UpdateAgent])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        agent_id: FromPath[str],
    ) -> Agent:
        command = await read_body(
            request, UpdateAgent, agent_id=validate_id(agent_id), if_match=if_match(request)
        )
        return await gateway.bus.call(command, caller=tenant_user.caller)

    @delete(
        "/{agent_id:str}",
        status_code=200,
        summary="Delete an agent and close its connections",
        commands=[DeleteAgent],
    )
    async def delete_agent(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        agent_id: FromPath[str],
    ) -> Agent:
        return await gateway.bus.call(
            DeleteAgent(agent_id=validate_id(agent_id), if_match=if_match(request)), caller=tenant_user.caller
        )

    @get(
        "/{agent_id:str}/challenge",
        summary="Create a challenge for an agent to sign",
        commands=[CreateAgentChallenge],
        errors=[RateLimited],
    )
    async def challenge(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], agent_id: FromPath[str]
    ) -> AgentChallenge:
        await limit_address(request, gateway)
        command = CreateAgentChallenge(agent_id=validate_id(agent_id))
        return await gateway.bus.call(command, caller=caller_of(request))
