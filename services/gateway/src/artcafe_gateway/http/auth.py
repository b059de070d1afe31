"""Who may call a route: the dependencies that authenticate a request."""

from typing import Any

import msgspec
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.authorization import at_least
from artcafe_common.bus.caller import Caller, set_caller
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.identity import User
from artcafe_common.contracts.tenancy import Membership, Role
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.request import Connection, NotFound, bearer, caller_of, checked_id

# A request is authenticated, and counted, once.
_PERSON = "artcafe_person"
_MEMBER = "artcafe_member"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated person without a tenant."""

    user: User
    caller: Caller


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated person acting for a tenant."""

    user: User
    membership: Membership
    caller: Caller

    def require_writer(self) -> None:
        """Forbidden for those who may only look."""
        if not at_least(self.membership.role, Role.MEMBER):
            raise Forbidden


async def person(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Person:
    """Authenticate a request that needs no tenant."""
    state = request.scope["state"]
    found: Person | None = state.get(_PERSON)
    if found is None:
        found = await authenticate(request, gateway, bearer(request))
        await gateway.limits.person(request, found.user.user_id)
        state[_PERSON] = found
    return found


async def member(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Member:
    """Authenticate a request for the tenant of its path, its header, or the user's only one."""
    state = request.scope["state"]
    known: Member | None = state.get(_MEMBER)
    if known is not None:
        return known
    someone = await authenticate(request, gateway, bearer(request))
    # The path names the tenant on /accounts/{account_id}; there it decides.
    chosen = request.path_params.get("account_id") or request.headers.get("x-tenant-id")
    if chosen:
        state["artcafe_asked"] = (someone.caller, chosen)
    found = await act_for(gateway, someone, checked_tenant(chosen))
    state["artcafe_tenant"] = found.caller.tenant_id
    state["artcafe_asked"] = (found.caller, found.caller.tenant_id)
    await gateway.limits.member(request, found.membership)
    set_caller(found.caller)
    state[_MEMBER] = found
    return found


async def authenticate(connection: Connection, gateway: Gateway, token: str) -> Person:
    """The person behind a token."""
    caller = caller_of(connection)
    user = await gateway.directory.user(token, caller)
    return Person(user=user, caller=msgspec.structs.replace(caller, actor=f"user:{user.user_id}"))


async def act_for(gateway: Gateway, someone: Person, tenant_id: str | None) -> Member:
    """A person as a member of a tenant; Forbidden when they are none."""
    membership = await gateway.directory.membership(someone.user, tenant_id, someone.caller)
    caller = msgspec.structs.replace(
        someone.caller, tenant_id=membership.tenant_id, role=membership.role.value
    )
    return Member(user=someone.user, membership=membership, caller=caller)


def checked_tenant(chosen: str | None) -> str | None:
    """A tenant id as it was given; Forbidden for what cannot be one, as for any other stranger's."""
    if not chosen:
        return None
    try:
        return checked_id(chosen)
    except NotFound as error:
        raise Forbidden from error
