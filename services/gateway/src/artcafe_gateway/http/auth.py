"""The dependencies that authenticate a request, and select its tenant."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar.connection import Request
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from artcafe_common.authorization import includes
from artcafe_common.broker.subjects import ForbiddenSubject
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import (
    CommandError,
    DeadlineExceeded,
    FieldError,
    Forbidden,
    InvalidRequest,
    ServiceUnavailable,
)
from artcafe_common.contracts.identity.client_tokens import TokenIdentity, is_client_token
from artcafe_common.contracts.identity.users import User
from artcafe_common.contracts.presence import ClientKind
from artcafe_common.contracts.tenancy.members import Membership, Role
from artcafe_common.grants import permitted
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.rate_limiting import enforce
from artcafe_gateway.http.request import HttpConnection, NotFound, bearer_token, caller_of, validate_id

# Keys of the request's state: what was authenticated, for a request that is authenticated once.
_USER, _TENANT_USER, _TENANT_CLIENT = "artcafe_user", "artcafe_tenant_user", "artcafe_tenant_client"
_GATEWAY = CallerContext.service("gateway").actor
_AUTHENTICATED_AT = "artcafe_authenticated_at"
TENANT_ID = "artcafe_tenant_id"
TENANT_HEADER = "X-Tenant-Id"
REQUESTED_TENANT = "artcafe_requested_tenant"


class AuthenticatedUser(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated user, without a tenant."""

    identity: User
    caller: CallerContext


class TenantCaller:
    """A member of an organization, or one of its clients, whose request is authenticated.

    What a kind of caller does not allow is refused. No Struct, since Litestar would expect exactly this type of a dependency, and none derived from it.
    """

    caller: CallerContext

    @property
    def lookup_caller(self) -> CallerContext:
        """The caller of commands that only look something up of the organization."""
        return self.caller

    @property
    def client_id(self) -> str:
        """The id of the client; empty for a person."""
        return ""

    @property
    def expires_at(self) -> datetime:
        """When the token expires; it has expired unless a kind of caller says otherwise."""
        return datetime.min.replace(tzinfo=UTC)

    @property
    def publisher(self) -> str:
        """Whose ids of messages these are."""
        return self.caller.actor

    def require_publisher(self) -> None:
        """Raise Forbidden unless the caller may publish anything."""
        raise Forbidden

    def require_publish(self, subject: str) -> None:  # noqa: ARG002 - refuses all
        """Raise ForbiddenSubject unless the caller may publish on a subject."""
        raise Forbidden

    def require_subscribe(self, subject: str) -> None:  # noqa: ARG002 - refuses all
        """Raise ForbiddenSubject unless the caller may read the messages of a subject."""
        raise Forbidden

    def require_client(self, client_id: str) -> None:  # noqa: ARG002 - refuses all
        """Raise ClientNotAllowed for a client other than this one."""
        raise Forbidden


class TenantUser(msgspec.Struct, TenantCaller, frozen=True, kw_only=True):
    """An authenticated user acting for a tenant."""

    identity: User
    membership: Membership
    caller: CallerContext

    @property
    def expires_at(self) -> datetime:
        return self.identity.expires_at

    def require_publisher(self) -> None:
        if not includes(self.membership.role, Role.MEMBER):
            raise Forbidden

    def require_publish(self, subject: str) -> None:
        """A role is about all subjects."""

    def require_subscribe(self, subject: str) -> None:
        """Every member may read."""

    def require_client(self, client_id: str) -> None:
        """Every member may see every client."""


class TenantClient(msgspec.Struct, TenantCaller, frozen=True, kw_only=True):
    """A client with a bearer token, which may use the routes that are for clients too."""

    token: TokenIdentity
    caller: CallerContext

    @property
    def lookup_caller(self) -> CallerContext:
        return msgspec.structs.replace(self.caller, actor=_GATEWAY)

    @property
    def client_id(self) -> str:
        return self.token.client.client_id

    @property
    def expires_at(self) -> datetime:
        return self.token.expires_at

    @property
    def publisher(self) -> str:
        # As over WebSocket.
        return self.client_id

    def require_publisher(self) -> None:
        """Its permissions name the subjects."""

    def require_publish(self, subject: str) -> None:
        self._require(self.token.client.permissions.publish, self.token.scope.publish, subject)

    def require_subscribe(self, subject: str) -> None:
        self._require(self.token.client.permissions.subscribe, self.token.scope.subscribe, subject)

    def _require(self, permissions: list[str], scope: list[str] | UnsetType, subject: str) -> None:
        for patterns in (permissions, scope):
            if patterns is not UNSET and not permitted(self.caller.tenant_id, patterns, (subject,)):
                raise ForbiddenSubject

    def require_client(self, client_id: str) -> None:
        if client_id != self.client_id:
            raise ClientNotAllowed


class ClientNotAllowed(CommandError):
    """The token is a client's, and the route is for people, or about another client."""

    status = 403
    code = "client_not_allowed"
    title = "The route is not for clients"
    remedy = (
        "With a client's token, publish to channels, read their history and events, and read the roster, agent cards and "
        "the client's own status. For everything else sign in as a person."
    )


async def provide_user(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> AuthenticatedUser:
    """Authenticate a request that needs no tenant."""
    state = request.scope["state"]
    user: AuthenticatedUser | None = state.get(_USER)
    if user is None:
        user = await authenticate(request, gateway, bearer_token(request))
        enforce(request, await gateway.rate_limits.check_user(user.identity.user_id))
        state[_USER] = user
    return user


async def provide_tenant_user(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> TenantUser:
    """Authenticate a request for the tenant of its path, its `X-Tenant-Id` header, or the user's only tenant."""
    state = request.scope["state"]
    known: TenantUser | None = state.get(_TENANT_USER)
    if known is not None:
        return known
    user = await authenticate(request, gateway, bearer_token(request))
    # On /accounts/{account_id} the path overrides the header.
    named_tenant_id = read_tenant_header(request)
    requested_tenant_id = request.path_params.get("account_id") or named_tenant_id
    if requested_tenant_id:
        state[REQUESTED_TENANT] = (user.caller, requested_tenant_id)
    tenant_user = await select_tenant(
        gateway,
        user,
        validate_tenant_id(requested_tenant_id),
        include_deleted=bool(request.route_handler.opt.get("deleted_organization")),
    )
    state[TENANT_ID] = tenant_user.caller.tenant_id
    state[REQUESTED_TENANT] = (tenant_user.caller, tenant_user.caller.tenant_id)
    membership = tenant_user.membership
    enforce(request, await gateway.rate_limits.check_tenant(membership.tenant_id, membership.plan))
    set_caller(tenant_user.caller)
    state[_TENANT_USER] = tenant_user
    return tenant_user


async def provide_tenant_caller(
    request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
) -> TenantCaller:
    """Authenticate a request that a person may send, as `provide_tenant_user` does, or a client with its token."""
    request.scope["state"].setdefault(_AUTHENTICATED_AT, time.monotonic())
    token = bearer_token(request)
    if not is_client_token(token):
        return await provide_tenant_user(request, gateway)
    known: TenantClient | None = request.scope["state"].get(_TENANT_CLIENT)
    if known is None:
        known = request.scope["state"][_TENANT_CLIENT] = await _authenticate_client(request, gateway, token)
    return known


async def authenticate_again(request: Request[Any, Any, Any], gateway: Gateway) -> None:
    """Authenticates the `tenant_caller` of a request that has waited; the same errors as in the beginning."""
    state = request.scope["state"]
    tenant_caller: TenantCaller = state.pop(_TENANT_CLIENT, None) or state[_TENANT_USER]
    if isinstance(tenant_caller, TenantClient):
        await gateway.client_tokens.authenticate(bearer_token(request), tenant_caller.caller)
    elif isinstance(tenant_caller, TenantUser):
        user = await authenticate(request, gateway, bearer_token(request))
        await select_tenant(gateway, user, tenant_caller.caller.tenant_id)


def authenticated_at(connection: HttpConnection) -> float:
    """When the authentication of a `tenant_caller` began, in monotonic time."""
    return float(connection.scope["state"][_AUTHENTICATED_AT])


async def _authenticate_client(connection: HttpConnection, gateway: Gateway, token: str) -> TenantClient:
    """The client of a bearer token, whose organization's rate limit applies; InvalidToken, Forbidden."""
    caller = caller_of(connection)
    identity = await gateway.client_tokens.authenticate(token, caller)
    tenant_id = identity.client.tenant_id
    caller = msgspec.structs.replace(
        caller, tenant_id=tenant_id, actor=f"{ClientKind.CLIENT}:{identity.client.client_id}"
    )
    state = connection.scope["state"]
    state[REQUESTED_TENANT] = (caller, tenant_id)
    if read_tenant_header(connection) not in (None, tenant_id):
        raise Forbidden
    state[TENANT_ID] = tenant_id
    # Without tenancy, no call is limited.
    with suppress(ServiceUnavailable, DeadlineExceeded):
        plan = await gateway.lookup_cache.plan(tenant_id)
        enforce(connection, await gateway.rate_limits.check_tenant(tenant_id, plan))
    set_caller(caller)
    return TenantClient(token=identity, caller=caller)


async def authenticate(connection: HttpConnection, gateway: Gateway, token: str) -> AuthenticatedUser:
    """The user of a bearer token; InvalidToken, ClientNotAllowed."""
    caller = caller_of(connection)
    if is_client_token(token):
        await _authenticate_client(connection, gateway, token)
        raise ClientNotAllowed
    identity = await gateway.lookup_cache.user(token, caller)
    caller = msgspec.structs.replace(caller, actor=f"user:{identity.user_id}")
    return AuthenticatedUser(identity=identity, caller=caller)


async def select_tenant(
    gateway: Gateway, user: AuthenticatedUser, tenant_id: str | None, *, include_deleted: bool = False
) -> TenantUser:
    """The user as a member of a tenant; Forbidden for another tenant, TenantRequired."""
    membership = await gateway.lookup_cache.membership(
        user.identity, tenant_id, user.caller, include_deleted=include_deleted
    )
    caller = msgspec.structs.replace(user.caller, tenant_id=membership.tenant_id, role=membership.role.value)
    return TenantUser(identity=user.identity, membership=membership, caller=caller)


def read_tenant_header(connection: HttpConnection) -> str | None:
    """The organization in `X-Tenant-Id`, if any; InvalidRequest for several different ones."""
    values = connection.headers.getall(TENANT_HEADER, [])
    # A proxy may join the values of repeated headers.
    named = {part.strip() for value in values for part in value.split(",")} - {""}
    if len(named) > 1:
        message = "Given more than once, with different values"
        raise InvalidRequest(message, errors=(FieldError(field=TENANT_HEADER, message=message),))
    return next(iter(named), None)


def validate_tenant_id(requested: str | None) -> str | None:
    """A requested tenant id, or None; Forbidden for an impossible id, as for another tenant's."""
    if not requested:
        return None
    try:
        return validate_id(requested)
    except NotFound as error:
        raise Forbidden from error
