"""Members of an organization and their roles."""

from datetime import datetime
from enum import StrEnum

import msgspec

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError, Forbidden
from artcafe_common.contracts.identity.clients import ACCOUNT_BLOCKED
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import Email, UserId
from artcafe_common.contracts.tenancy.list_query import ListQuery
from artcafe_common.plans import Plan


class TenantRequired(CommandError):
    """The user belongs to several organizations, and the request does not select one."""

    status = 400
    code = "tenant_required"
    title = "The request does not select an organization"
    remedy = "Send the `X-Tenant-Id` header (REST) or the `tenant_id` parameter (WebSocket)."


class MemberNotFound(CommandError):
    """The organization has no member with this user id."""

    status = 404
    code = "member_not_found"
    title = "The member was not found"
    remedy = "Check the id with `GET /api/v1/accounts/{account_id}/members`."


class MemberExists(CommandError):
    """The user is already a member of the organization."""

    status = 409
    code = "member_exists"
    title = "The user is already a member"
    remedy = "Change the member's role with `PUT /api/v1/accounts/{account_id}/members/{user_id}`."


class LastOwner(CommandError):
    """The organization would have no owner."""

    status = 409
    code = "last_owner"
    title = "The last owner cannot leave or change role"
    remedy = "Make another member an owner first."


class Role(StrEnum):
    """The role of a member.

    Viewers read. Members also publish and manage clients and channels. Admins also manage the account and its members.
    Owners also manage owners.
    """

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of an organization; what the identity provider knows of a person is shown from the first visit on."""

    user_id: str
    email: str
    name: str = ""
    role: Role
    created_at: datetime
    updated_at: datetime


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """A page of members."""

    members: list[Member]
    next_cursor: str | None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A user's role in a tenant, and the tenant's plan."""

    tenant_id: str
    user_id: str
    role: Role
    plan: Plan


class ResolveMembership(Query[Membership], frozen=True, kw_only=True):
    """Resolve the tenant that a user acts for: the requested one, or the user's only one.

    Raises Forbidden if the user is not a member of the requested tenant (whether or not it exists) or of any tenant,
    TenantRequired if the user has several tenants and requested none, AccountSuspended to a member of a suspended one,
    and unless `include_deleted`, AccountDeleted to a member of one that can still be restored.
    """

    subject = "artcafe.tenancy.membership.resolve"
    callers = ("gateway", "identity")
    raises = (Forbidden, TenantRequired, *ACCOUNT_BLOCKED)
    user_id: str
    tenant_id: str | None = None
    include_deleted: bool = False


class AddMember(Command[Member], frozen=True, kw_only=True):
    """Add a user to the caller's organization."""

    subject = "artcafe.tenancy.member.add"
    raises = (MemberExists, Forbidden)
    user_id: UserId
    email: Email = ""
    role: Role = Role.MEMBER


class ListMembers(ListQuery[Members], frozen=True, kw_only=True):
    """List the members of the caller's organization."""

    subject = "artcafe.tenancy.member.list"


class UpdateMember(ConditionalCommand[Member], frozen=True, kw_only=True):
    """Change a member's role. Only owners may add or remove the role of owner."""

    subject = "artcafe.tenancy.member.update"
    raises = (MemberNotFound, LastOwner, Forbidden, PreconditionFailed)
    user_id: str
    role: Role


class RemoveMember(ConditionalCommand[Member], frozen=True, kw_only=True):
    """Remove a member from the caller's organization; the user's connections end."""

    subject = "artcafe.tenancy.member.remove"
    raises = (MemberNotFound, LastOwner, Forbidden, PreconditionFailed)
    user_id: str
