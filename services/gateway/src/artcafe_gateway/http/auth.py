"""The dependencies that authenticate a request, and select its tenant."""

from typing import Any

import msgspec
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.authorization import includes
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import FieldError, Forbidden, InvalidRequest
from artcafe_common.contracts.identity.users import User
from artcafe_common.contracts.tenancy.members import Membership, Role
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.rate_limiting import enforce
from artcafe_gateway.http.request import HttpConnection, NotFound, bearer_token, caller_of, validate_id

# Keys of the request's state: what was authenticated, for a request that is authenticated once.
_USER, _TENANT_USER = "artcafe_user", "artcafe_tenant_user"
TENANT_ID = "artcafe_tenant_id"
TENANT_HEADER = "X-Tenant-Id"
REQUESTED_TENANT = "artcafe_requested_tenant"


class AuthenticatedUser(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated user, without a tenant."""

    identity: User
    caller: CallerContext


class TenantUser(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated user acting for a tenant."""

    identity: User
    membership: Membership
    caller: CallerContext

    def require_writer(self) -> None:
        """Raise Forbidden for a role that may only read."""
        if not includes(self.membership.role, Role.MEMBER):
            raise Forbidden


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


async def authenticate(connection: HttpConnection, gateway: Gateway, token: str) -> AuthenticatedUser:
    """The user of a bearer token; InvalidToken."""
    caller = caller_of(connection)
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
