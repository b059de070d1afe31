"""Members of an organization and their roles."""

from datetime import datetime
from enum import StrEnum

import msgspec

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError, Forbidden
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
    """What a member may do: viewers read, members also publish and manage clients and channels,
    admins also manage members, owners everything.
    """

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A user's place in an organization."""

    user_id: str
    email: str
    role: Role
    created_at: datetime
    updated_at: datetime


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """A page of members."""

    members: list[Member]
    next_cursor: str | None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """That a user acts for a tenant, and as what."""

    tenant_id: str
    user_id: str
    role: Role
    plan: Plan


class ResolveMembership(Query[Membership], frozen=True, kw_only=True):
    """Which tenant a user acts for: the one asked for, or their only one.

    Forbidden for a tenant that they are not a member of, whether it exists or not, and for a
    user without any; TenantRequired when there are several and none was asked for.
    """

    subject = "artcafe.tenancy.membership.resolve"
    raises = (Forbidden, TenantRequired)
    user_id: str
    tenant_id: str | None = None


class AddMember(Command[Member], frozen=True, kw_only=True):
    """Make a user a member of the caller's tenant."""

    subject = "artcafe.tenancy.member.add"
    raises = (MemberExists, Forbidden)
    user_id: UserId
    email: Email = ""
    role: Role = Role.MEMBER


class ListMembers(ListQuery[Members], frozen=True, kw_only=True):
    """The members of the caller's tenant."""

    subject = "artcafe.tenancy.member.list"


class UpdateMember(Command[Member], frozen=True, kw_only=True):
    """Change a member's role; only an owner makes or unmakes owners."""

    subject = "artcafe.tenancy.member.update"
    raises = (MemberNotFound, LastOwner, Forbidden)
    user_id: str
    role: Role


class RemoveMember(Command[Member], frozen=True, kw_only=True):
    """Take a user out of the caller's tenant; their live connections end."""

    subject = "artcafe.tenancy.member.remove"
    raises = (MemberNotFound, LastOwner, Forbidden)
    user_id: str
