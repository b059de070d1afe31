"""Agents: the legacy kind of client, with an SSH key in place of an NKey."""

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
from artcafe_gateway.http.rate_limiting import limit_address
from artcafe_gateway.http.request import body, caller_of, query, validate_id
from artcafe_gateway.routes.clients import presences, with_presence

PRIVATE_KEY_WARNING = "This private key is shown once and stored nowhere: keep it safe."
SUCCESSOR = '</api/v1/clients>; rel="successor-version"'
# 2026-01-01, in the form of RFC 9745.
DEPRECATED_SINCE = "@1767225600"


class AgentConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how an agent connects."""

    websocket_url: str
    subject_prefix: str


class NewAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent; `private_key` is there when the pair was made for it."""

    agent: Agent
    private_key: str | None
    connection: AgentConnectionInfo
    warning: str | None


class Deprecated(ASGIMiddleware):
    """Every answer, a refusal too, says what comes after these routes (RFC 9745, RFC 8288)."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders(message)
                headers["Deprecation"] = DEPRECATED_SINCE
                headers["Link"] = SUCCESSOR
            await send(message)

        await next_app(scope, receive, marked)


class AgentsController(Controller):
    """As clients, save for their keys."""

    path = "/agents"
    tags = ["agents"]
    middleware = [Deprecated()]
    opt = {"deprecated": True}

    @get("/", summary="The organization's agents", does=[ListAgents])
    async def list_agents(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> Agents:
        page = await gateway.bus.call(query(request, ListAgents), caller=member.caller)
        seen = await presences(gateway, [agent.agent_id for agent in page.agents], member.caller)
        agents = [with_presence(agent, seen.get(agent.agent_id)) for agent in page.agents]
        return Agents(agents=agents, next_cursor=page.next_cursor)

    @post(
        "/", summary="Register an agent; a private key that was made for it is shown once", does=[CreateAgent]
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> NewAgent:
        created = await gateway.bus.call(await body(request, CreateAgent), caller=member.caller)
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

    @get("/status/summary", summary="How many agents there are, by status", does=[SummarizeAgents])
    async def summary(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
    ) -> AgentSummary:
        return await gateway.bus.call(query(request, SummarizeAgents), caller=member.caller)

    @get("/{agent_id:str}", summary="One agent", does=[GetAgent])
    async def get_agent(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], agent_id: FromPath[str]
    ) -> Agent:
        agent = await gateway.bus.call(GetAgent(agent_id=validate_id(agent_id)), caller=member.caller)
        return with_presence(agent, (await presences(gateway, [agent_id], member.caller)).get(agent_id))

    @put("/{agent_id:str}", summary="Change or suspend an agent", does=[UpdateAgent])
    async def update(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        member: NamedDependency[TenantUser],
        agent_id: FromPath[str],
    ) -> Agent:
        command = await body(request, UpdateAgent, agent_id=validate_id(agent_id))
        return await gateway.bus.call(command, caller=member.caller)

    @delete(
        "/{agent_id:str}",
        status_code=200,
        summary="Delete an agent and end its connections",
        does=[DeleteAgent],
    )
    async def delete_agent(
        self, gateway: NamedDependency[Gateway], member: NamedDependency[TenantUser], agent_id: FromPath[str]
    ) -> Agent:
        return await gateway.bus.call(DeleteAgent(agent_id=validate_id(agent_id)), caller=member.caller)

    @get(
        "/{agent_id:str}/challenge",
        summary="A challenge for an agent to sign",
        does=[CreateAgentChallenge],
        refuses=[RateLimited],
    )
    async def challenge(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway], agent_id: FromPath[str]
    ) -> AgentChallenge:
        await limit_address(request, gateway)
        command = CreateAgentChallenge(agent_id=validate_id(agent_id))
        return await gateway.bus.call(command, caller=caller_of(request))
