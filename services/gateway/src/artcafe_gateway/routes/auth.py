"""REST routes: sign-in, and the challenges of clients and agents."""

from typing import Any

import msgspec
from litestar import Controller, post
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.contracts.identity.agents import (
    AgentChallenge,
    AgentToken,
    CreateAgentChallenge,
    VerifyAgent,
)
from artcafe_common.contracts.identity.client_tokens import ClientToken, IssueClientToken
from artcafe_common.contracts.identity.clients import ClientChallenge, CreateClientChallenge
from artcafe_common.contracts.identity.users import Login, RefreshTokens, Tokens
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import read_tenant_header
from artcafe_gateway.http.rate_limiting import limit_address, limit_login
from artcafe_gateway.http.request import caller_of, read_body
from artcafe_gateway.reporting.activity import report_login


class AuthController(Controller):
    """Sign-in and challenges. These routes need no authentication."""

    path = "/auth"
    tags = ["auth"]

    @post(
        "/login",
        status_code=200,
        summary="Sign in with e-mail address and password",
        commands=[Login],
        errors=[RateLimited],
    )
    async def login(self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Tokens:
        caller = caller_of(request)
        command = await read_body(request, Login)
        await limit_login(request, gateway, command.email)
        tokens = await gateway.bus.call(command, caller=caller)
        await report_login(gateway.bus, gateway.presence, caller, tokens.user_id)
        return tokens

    @post(
        "/refresh",
        status_code=200,
        summary="Refresh tokens",
        commands=[RefreshTokens],
        errors=[RateLimited],
    )
    async def refresh(self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Tokens:
        await limit_address(request, gateway)
        return await gateway.bus.call(await read_body(request, RefreshTokens), caller=caller_of(request))

    @post(
        "/client/challenge",
        status_code=200,
        summary="Create a challenge for a client to sign, for a token or the WebSocket URL",
        commands=[CreateClientChallenge],
        errors=[RateLimited],
    )
    async def client_challenge(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> ClientChallenge:
        await limit_address(request, gateway)
        return await gateway.bus.call(
            await read_body(request, CreateClientChallenge), caller=caller_of(request)
        )

    @post(
        "/client/token",
        status_code=200,
        summary="Exchange a signed challenge for a client's bearer token",
        commands=[IssueClientToken],
        errors=[RateLimited],
    )
    async def client_token(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> ClientToken:
        await limit_address(request, gateway)
        return await gateway.bus.call(await read_body(request, IssueClientToken), caller=caller_of(request))

    @post(
        "/agent/challenge",
        status_code=200,
        summary="Create a challenge for an agent to sign",
        commands=[CreateAgentChallenge],
        errors=[RateLimited],
    )
    async def agent_challenge(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> AgentChallenge:
        await limit_address(request, gateway)
        return await gateway.bus.call(
            await read_body(request, CreateAgentChallenge), caller=caller_of(request)
        )

    @post(
        "/agent/verify",
        status_code=200,
        summary="Exchange a signed challenge for an agent token",
        commands=[VerifyAgent],
        errors=[RateLimited],
    )
    async def agent_verify(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> AgentToken:
        await limit_address(request, gateway)
        command = await read_body(request, VerifyAgent)
        if command.tenant_id is None:
            command = msgspec.structs.replace(command, tenant_id=read_tenant_header(request))
        return await gateway.bus.call(command, caller=caller_of(request))
