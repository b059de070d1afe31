"""Signing in, nonces for clients, challenges and tokens for agents."""

from typing import Any

import msgspec
from litestar import Controller, post
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.activity_reporting import build_activity_event
from artcafe_common.contracts.identity.agents import (
    AgentChallenge,
    AgentToken,
    CreateAgentChallenge,
    VerifyAgent,
)
from artcafe_common.contracts.identity.clients import ClientChallenge, CreateClientChallenge
from artcafe_common.contracts.identity.users import Login, RefreshTokens, Tokens, VerifyUserToken
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.rate_limiting import limit_address, limit_login
from artcafe_gateway.http.request import body, caller_of


class AuthController(Controller):
    """Routes that a stranger may call."""

    path = "/auth"
    tags = ["auth"]

    @post(
        "/login",
        status_code=200,
        summary="Exchange an e-mail and a password for tokens",
        does=[Login, VerifyUserToken],
        refuses=[RateLimited],
    )
    async def login(self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Tokens:
        caller = caller_of(request)
        command = await body(request, Login)
        await limit_login(request, gateway, command.email)
        tokens = await gateway.bus.call(command, caller=caller)
        user = await gateway.lookup_cache.user(tokens.access_token, caller)
        who = msgspec.structs.replace(caller, actor=f"user:{user.user_id}")
        await gateway.bus.publish(
            build_activity_event(who, ActivityType.AUTH, "user.login", f"user:{user.user_id}", tenant_id="")
        )
        return tokens

    @post(
        "/refresh",
        status_code=200,
        summary="Exchange a refresh token for new tokens",
        does=[RefreshTokens],
        refuses=[RateLimited],
    )
    async def refresh(self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Tokens:
        await limit_address(request, gateway)
        return await gateway.bus.call(await body(request, RefreshTokens), caller=caller_of(request))

    @post(
        "/client/challenge",
        status_code=200,
        summary="A nonce for a WebSocket's URL",
        does=[CreateClientChallenge],
        refuses=[RateLimited],
    )
    async def client_challenge(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> ClientChallenge:
        await limit_address(request, gateway)
        return await gateway.bus.call(await body(request, CreateClientChallenge), caller=caller_of(request))

    @post(
        "/agent/challenge",
        status_code=200,
        summary="A challenge for an agent to sign",
        does=[CreateAgentChallenge],
        refuses=[RateLimited],
    )
    async def agent_challenge(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> AgentChallenge:
        await limit_address(request, gateway)
        return await gateway.bus.call(await body(request, CreateAgentChallenge), caller=caller_of(request))

    @post(
        "/agent/verify",
        status_code=200,
        summary="Exchange a signed challenge for an agent's token",
        does=[VerifyAgent],
        refuses=[RateLimited],
    )
    async def agent_verify(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> AgentToken:
        await limit_address(request, gateway)
        command = await body(request, VerifyAgent)
        if command.tenant_id is None:
            tenant_id = request.headers.get("x-tenant-id") or None
            command = msgspec.structs.replace(command, tenant_id=tenant_id)
        return await gateway.bus.call(command, caller=caller_of(request))
