"""REST routes: sign-in, and the challenges of clients and agents."""

from enum import StrEnum
from typing import Any

import msgspec
from litestar import Controller, Response, post
from litestar.connection import Request
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from artcafe_common.bus.errors import FieldError, InvalidRequest
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
from artcafe_gateway.http.session_cookie import (
    CsrfTokenMissing,
    expired_cookies,
    read_refresh_token,
    session_cookies,
)
from artcafe_gateway.reporting.activity import report_login


class SessionKind(StrEnum):
    """Where the refresh token of a login goes: into the response, or into a cookie that no script can read."""

    TOKEN = "token"  # noqa: S105 - a word
    COOKIE = "cookie"


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Exchange an e-mail address and a password for tokens.

    `new_password` and `code` (of an authenticator app) answer the identity provider, if it asked for them:
    `login_challenge_required` names the field. With `session: cookie`, the refresh token is not in the response but in a cookie, for `POST /auth/refresh` without a
    body. That route then needs the value of the cookie `artcafe_csrf` in the header `X-CSRF-Token`.
    """

    email: str
    password: str
    new_password: str = ""
    code: str = ""
    session: SessionKind = SessionKind.TOKEN


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Exchange a refresh token for new tokens: the one in the body, or else the one in the session cookie.

    With the cookie, the header `X-CSRF-Token` must have the value of the cookie `artcafe_csrf`.
    """

    refresh_token: str | UnsetType = UNSET


class AuthController(Controller):
    """Sign-in and challenges. These routes need no authentication."""

    path = "/auth"
    tags = ["auth"]

    @post(
        "/login",
        status_code=200,
        summary="Sign in with e-mail address and password",
        commands=[Login],
        request_type=LoginRequest,
        errors=[RateLimited],
    )
    async def login(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> Response[Tokens]:
        caller = caller_of(request)
        body = await read_body(request, LoginRequest)
        await limit_login(request, gateway, body.email)
        command = Login(
            email=body.email, password=body.password, new_password=body.new_password, code=body.code
        )
        tokens = await gateway.bus.call(command, caller=caller)
        await report_login(gateway.bus, gateway.presence, caller, tokens.user_id)
        return _keep_in_cookie(tokens) if body.session is SessionKind.COOKIE else Response(tokens)

    @post(
        "/refresh",
        status_code=200,
        summary="Refresh tokens",
        commands=[RefreshTokens],
        request_type=RefreshRequest,
        errors=[RateLimited, CsrfTokenMissing],
    )
    async def refresh(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> Response[Tokens]:
        await limit_address(request, gateway)
        given = (await read_body(request, RefreshRequest)).refresh_token
        refresh_token = read_refresh_token(request) if given is UNSET else given
        if not refresh_token and given is UNSET:
            message = "Needed without the session cookie"
            raise InvalidRequest(message, errors=(FieldError(field="refresh_token", message=message),))
        command = RefreshTokens(refresh_token=refresh_token)
        tokens = await gateway.bus.call(command, caller=caller_of(request))
        return _keep_in_cookie(tokens) if given is UNSET else Response(tokens)

    @post(
        "/logout",
        status_code=200,
        summary="Sign out: remove the session cookie",
        errors=[RateLimited, CsrfTokenMissing],
    )
    async def logout(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> Response[dict[str, str]]:
        await limit_address(request, gateway)
        read_refresh_token(request)
        return Response({"status": "ok"}, cookies=expired_cookies())

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


def _keep_in_cookie(tokens: Tokens) -> Response[Tokens]:
    """The tokens without the refresh token, which is set as a cookie if there is a new one."""
    cookies = [] if tokens.refresh_token is None else session_cookies(tokens.refresh_token)
    return Response(msgspec.structs.replace(tokens, refresh_token=None), cookies=cookies)
