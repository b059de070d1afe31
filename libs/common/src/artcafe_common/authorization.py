"""Who may do what in a tenant: the one place where this stands.

Viewers read; members also manage clients and channels; admins also manage the account and its
members; only owners make, change or remove owners. Anybody may leave. Services read; the
operator's command line (`service:admin`) acts as an owner. Clients are refused: what
they may do is on the message path.
"""

from artcafe_common.bus.caller import CallerContext, current_caller, current_tenant
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.tenancy.members import Role

OPERATOR = "service:admin"
_RANKS = (Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER)


def role_of(caller: CallerContext) -> Role:
    """The role that a caller acts with; Forbidden for one without any."""
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
    """Whether a role includes another."""
    return _RANKS.index(role) >= _RANKS.index(least)


def require_role(least: Role) -> str:
    """The current tenant, in which the caller has at least this role; Forbidden otherwise."""
    tenant_id = current_tenant()
    if not includes(role_of(current_caller()), least):
        raise Forbidden
    return tenant_id


def require_person() -> str:
    """The id of the person who asks; Forbidden for anybody else."""
    caller = current_caller()
    if not caller.actor.startswith("user:") or not caller.actor_id:
        raise Forbidden
    return caller.actor_id


def require_operator() -> None:
    """Forbidden for anybody but the operator."""
    if current_caller().actor != OPERATOR:
        raise Forbidden


def check_member_change(actor: Role, before: Role | None, after: Role | None) -> None:
    """Forbidden unless `actor` may take a member from one role to another (None: not a member)."""
    least = Role.OWNER if Role.OWNER in (before, after) else Role.ADMIN
    if not includes(actor, least):
        raise Forbidden
