"""Who may call a route: the dependencies that authenticate a request."""

from typing import Any

import msgspec
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.authorization import includes
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.identity.users import User
from artcafe_common.contracts.tenancy.members import Membership, Role
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.rate_limiting import enforce
from artcafe_gateway.http.request import HttpConnection, NotFound, bearer, caller_of, validate_id

# A request is authenticated, and counted, once.
_PERSON = "artcafe_person"
_MEMBER = "artcafe_member"


class AuthenticatedUser(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated person without a tenant."""

    user: User
    caller: CallerContext


class TenantUser(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated person acting for a tenant."""

    user: User
    membership: Membership
    caller: CallerContext

    def require_writer(self) -> None:
        """Forbidden for those who may only look."""
        if not includes(self.membership.role, Role.MEMBER):
            raise Forbidden


async def person(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> AuthenticatedUser:
    """Authenticate a request that needs no tenant."""
    state = request.scope["state"]
    found: AuthenticatedUser | None = state.get(_PERSON)
    if found is None:
        found = await authenticate(request, gateway, bearer(request))
        enforce(request, await gateway.rate_limits.check_user(found.user.user_id))
        state[_PERSON] = found
    return found


async def member(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> TenantUser:
    """Authenticate a request for the tenant of its path, its header, or the user's only one."""
    state = request.scope["state"]
    known: TenantUser | None = state.get(_MEMBER)
    if known is not None:
        return known
    someone = await authenticate(request, gateway, bearer(request))
    # The path names the tenant on /accounts/{account_id}; there it decides.
    chosen = request.path_params.get("account_id") or request.headers.get("x-tenant-id")
    if chosen:
        state["artcafe_asked"] = (someone.caller, chosen)
    found = await select_tenant(gateway, someone, validate_tenant_id(chosen))
    state["artcafe_tenant"] = found.caller.tenant_id
    state["artcafe_asked"] = (found.caller, found.caller.tenant_id)
    membership = found.membership
    enforce(request, await gateway.rate_limits.check_tenant(membership.tenant_id, membership.plan))
    set_caller(found.caller)
    state[_MEMBER] = found
    return found


async def authenticate(connection: HttpConnection, gateway: Gateway, token: str) -> AuthenticatedUser:
    """The person behind a token."""
    caller = caller_of(connection)
    user = await gateway.lookup_cache.user(token, caller)
    return AuthenticatedUser(user=user, caller=msgspec.structs.replace(caller, actor=f"user:{user.user_id}"))


async def select_tenant(gateway: Gateway, someone: AuthenticatedUser, tenant_id: str | None) -> TenantUser:
    """A person as a member of a tenant; Forbidden when they are none."""
    membership = await gateway.lookup_cache.membership(someone.user, tenant_id, someone.caller)
    caller = msgspec.structs.replace(
        someone.caller, tenant_id=membership.tenant_id, role=membership.role.value
    )
    return TenantUser(user=someone.user, membership=membership, caller=caller)


def validate_tenant_id(chosen: str | None) -> str | None:
    """A tenant id as it was given; Forbidden for what cannot be one, as for any other stranger's."""
    if not chosen:
        return None
    try:
        return validate_id(chosen)
    except NotFound as error:
        raise Forbidden from error
