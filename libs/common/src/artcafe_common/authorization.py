"""Role-based access control within a tenant.

Viewers read. Members also manage clients and channels. Admins also manage the account and its members. Only
owners add, change or remove owners. Every member may leave. Services read; the operator's command line
(`service:admin`) acts as an owner. Clients are rejected: their permissions apply to messages only.
"""

from artcafe_common.bus.caller import CallerContext, current_caller, current_tenant
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.tenancy.members import Role

OPERATOR = "service:admin"
_RANKS = (Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER)


def role_of(caller: CallerContext) -> Role:
    """The role that a caller acts with. Raises Forbidden for a caller without a role."""
    if caller.actor == OPERATOR:
        return Role.OWNER
    kind = caller.actor.partition(":")[0]
    if kind == "service":
        return Role.VIEWER
    if kind != "user":
        raise Forbidden
    try:
        return Role(caller.role)
    except ValueError:
        raise Forbidden from None


def includes(role: Role, least: Role) -> bool:
    """Whether `role` has at least the rights of `least`."""
    return _RANKS.index(role) >= _RANKS.index(least)


def require_role(least: Role) -> str:
    """The current tenant. Raises Forbidden unless the caller has at least this role in it."""
    tenant_id = current_tenant()
    if not includes(role_of(current_caller()), least):
        raise Forbidden
    return tenant_id


def require_user() -> str:
    """The id of the calling user. Raises Forbidden if the caller is not a user."""
    caller = current_caller()
    if not caller.actor.startswith("user:") or not caller.actor_id:
        raise Forbidden
    return caller.actor_id


def require_operator() -> None:
    """Raises Forbidden unless the caller is the operator."""
    if current_caller().actor != OPERATOR:
        raise Forbidden


def check_member_change(actor: Role, before: Role | None, after: Role | None) -> None:
    """Raises Forbidden unless `actor` may change a member's role; None is no membership."""
    least = Role.OWNER if Role.OWNER in (before, after) else Role.ADMIN
    if not includes(actor, least):
        raise Forbidden
