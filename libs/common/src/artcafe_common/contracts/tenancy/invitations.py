"""Invitations: a person becomes a member by accepting one, with the e-mail address that it names."""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError, Forbidden
from artcafe_common.contracts.tenancy.list_query import ListQuery
from artcafe_common.contracts.tenancy.members import MemberExists, Role
from artcafe_common.contracts.tenancy.profiles import Organization

INVITATION_LIFETIME = timedelta(days=7)
MAX_INVITATIONS = 100
InvitedEmail = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=254,
        pattern=r"^[^\s@\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$(?!\n)",
        description="An e-mail address",
    ),
]


class InvitationNotFound(CommandError):
    """There is no open invitation with this id: it was revoked, accepted or declined, or it has expired.

    An invited person finds only those for the e-mail address that the identity provider has verified.
    """

    status = 404
    code = "invitation_not_found"
    title = "The invitation was not found"
    remedy = "Check the id, and that you are signed in with the invited e-mail address; else ask for a new invitation."


class InvitationLimitReached(CommandError):
    """The organization has as many open invitations as it may have."""

    status = 409
    code = "invitation_limit"
    title = "Too many invitations are open"
    remedy = "Revoke invitations that are not needed any more, or wait until they expire."


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation. `invited_by_name` is the name or e-mail address of the member who invited."""

    invitation_id: str
    email: str
    role: Role
    invited_by: str
    invited_by_name: str = ""
    created_at: datetime
    expires_at: datetime


class Invitations(msgspec.Struct, frozen=True, kw_only=True):
    """A page of invitations, in the order of their e-mail addresses."""

    invitations: list[Invitation]
    next_cursor: str | None


class CreateInvitation(Command[Invitation], frozen=True, kw_only=True):
    """Invite a person to the caller's organization; an earlier invitation of the same address is replaced.

    Nothing is sent: the person finds the invitation after signing in. It expires after 7 days. It is void if who
    invited may not add a member of that role any more.
    """

    subject = "artcafe.tenancy.invitation.create"
    raises = (InvitationLimitReached, Forbidden)
    email: InvitedEmail
    role: Role = Role.MEMBER


class ListInvitations(ListQuery[Invitations], frozen=True, kw_only=True):
    """List the open invitations of the caller's organization."""

    subject = "artcafe.tenancy.invitation.list"


class RevokeInvitation(Command[Invitation], frozen=True, kw_only=True):
    """Revoke an invitation of the caller's organization."""

    subject = "artcafe.tenancy.invitation.revoke"
    raises = (InvitationNotFound, Forbidden)
    invitation_id: str


class ReceivedInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """An open invitation, as the invited person sees it."""

    invitation_id: str
    account_id: str
    account_name: str
    role: Role
    invited_by_name: str = ""
    created_at: datetime
    expires_at: datetime


class ReceivedInvitations(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the invitations for a person."""

    invitations: list[ReceivedInvitation]
    next_cursor: str | None


class ListReceivedInvitations(ListQuery[ReceivedInvitations], frozen=True, kw_only=True):
    """List the open invitations for the calling user's e-mail address, if the identity provider has verified it."""

    subject = "artcafe.tenancy.invitation.list_received"


class AcceptInvitation(Command[Organization], frozen=True, kw_only=True):
    """Accept an invitation: the calling user becomes a member of the organization."""

    subject = "artcafe.tenancy.invitation.accept"
    raises = (InvitationNotFound, MemberExists)
    invitation_id: str


class DeclineInvitation(Command[ReceivedInvitation], frozen=True, kw_only=True):
    """Decline an invitation, which is then gone."""

    subject = "artcafe.tenancy.invitation.decline"
    raises = (InvitationNotFound,)
    invitation_id: str
