"""Endpoints of invitations: those of an organization, and those that a person receives.

An invitation is found by the e-mail address that the identity provider has verified; to know its id is not enough.
"""

from datetime import UTC, datetime

from artcafe_common import authorization, clock
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import Forbidden
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import MembershipChanged
from artcafe_common.contracts.tenancy.invitations import (
    INVITATION_LIFETIME,
    AcceptInvitation,
    CreateInvitation,
    DeclineInvitation,
    Invitation,
    InvitationNotFound,
    Invitations,
    ListInvitations,
    ListReceivedInvitations,
    ReceivedInvitation,
    ReceivedInvitations,
    RevokeInvitation,
)
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.contracts.tenancy.profiles import Organization
from artcafe_common.storage.dynamo_errors import TransactionFailed
from artcafe_tenancy.endpoint_base import EndpointBase, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry
from artcafe_tenancy.people import name_actors
from artcafe_tenancy.tables import InvitationItem, MemberItem, TenantItem


class InvitationEndpoints(EndpointBase):
    """Commands of invitations."""

    # -- of an organization ----------------------------------------------------------------------

    @handles(CreateInvitation)
    async def create_invitation(self, request: CreateInvitation) -> Invitation:
        tenant_id = authorization.require_role(Role.ADMIN)
        caller, email = current_caller(), normalize_email(request.email)
        before, names = await run_together(
            self.store.invitations.get(tenant_id, email), name_actors(self.store, tenant_id, [caller.actor])
        )
        authorization.check_member_change(
            authorization.role_of(caller), None if before is None else before.role, request.role
        )
        now = clock.now()
        item = InvitationItem(
            tenant_id=tenant_id,
            email=email,
            invitation_id=clock.new_id(),
            role=request.role,
            invited_by=caller.actor,
            invited_by_name=names.get(caller.actor, ""),
            created_at=now,
            expires_at=int((now + INVITATION_LIFETIME).timestamp()),
        )
        await self.store.invitations.put(item, _build_entry(item, "invitation.created"))
        return _to_invitation(item)

    @handles(ListInvitations)
    async def list_invitations(self, request: ListInvitations) -> Invitations:
        tenant_id = authorization.require_role(Role.ADMIN)
        items, next_cursor = await self.read_page(
            self.store.invitations.list, tenant_id, "invitations", request
        )
        return Invitations(invitations=list(map(_to_invitation, items)), next_cursor=next_cursor)

    @handles(RevokeInvitation)
    async def revoke_invitation(self, request: RevokeInvitation) -> Invitation:
        tenant_id = authorization.require_role(Role.ADMIN)
        item = await self.store.invitations.find(tenant_id, request.invitation_id)
        item = require_found(item, InvitationNotFound)
        authorization.check_member_change(authorization.role_of(current_caller()), item.role, None)
        if not await self.store.invitations.remove(item, _build_entry(item, "invitation.revoked")):
            raise InvitationNotFound
        return _to_invitation(item)

    # -- of a person -----------------------------------------------------------------------------

    @handles(ListReceivedInvitations)
    async def list_received_invitations(self, request: ListReceivedInvitations) -> ReceivedInvitations:
        user_id = authorization.require_user()
        email = await self._find_verified_email(user_id)
        if not email:
            return ReceivedInvitations(invitations=[], next_cursor=None)
        scope = f"invitations {email}"
        position = self.cursors.decode(user_id, scope, request.cursor)
        page = await self.store.invitations.list_for(email, limit=request.limit, position=position)
        found = await run_together(*map(self._find_tenant, page.items))
        return ReceivedInvitations(
            invitations=[
                _to_received(item, tenant)
                for item, tenant in zip(page.items, found, strict=True)
                if tenant is not None
            ],
            next_cursor=self.cursors.encode(user_id, scope, page.position),
        )

    @handles(AcceptInvitation)
    async def accept_invitation(self, request: AcceptInvitation) -> Organization:
        user_id = authorization.require_user()
        item, tenant = await self._find_received(user_id, request.invitation_id)
        now = clock.now()
        member = MemberItem(
            user_id=user_id,
            tenant_id=tenant.id,
            email=item.email,
            role=item.role,
            visited=True,
            created_at=now,
            updated_at=now,
        )
        joined = MembershipChanged(tenant_id=tenant.id, user_id=user_id, role=item.role)
        entry = _build_entry(item, "invitation.accepted", joined)
        try:
            await self.store.add_member(member, entry, further=[self.store.invitations.build_removal(item)])
        except TransactionFailed:
            raise InvitationNotFound from None
        return Organization(account_id=tenant.id, name=tenant.name, role=item.role, plan=tenant.plan)

    @handles(DeclineInvitation)
    async def decline_invitation(self, request: DeclineInvitation) -> ReceivedInvitation:
        user_id = authorization.require_user()
        item, tenant = await self._find_received(user_id, request.invitation_id)
        if not await self.store.invitations.remove(item, _build_entry(item, "invitation.declined")):
            raise InvitationNotFound
        return _to_received(item, tenant)

    async def _find_verified_email(self, user_id: str) -> str:
        """The user's address in the form in which invitations have it; empty unless the provider has verified it."""
        profile = await self.store.get_profile(user_id)
        return normalize_email(profile.email) if profile.email_verified else ""

    async def _find_received(self, user_id: str, invitation_id: str) -> tuple[InvitationItem, TenantItem]:
        """An invitation for the user, and its organization. Raises InvitationNotFound."""
        email = await self._find_verified_email(user_id)
        if not email or not invitation_id:
            raise InvitationNotFound
        item = require_found(await self.store.invitations.find_for(email, invitation_id), InvitationNotFound)
        return item, require_found(await self._find_tenant(item), InvitationNotFound)

    async def _find_tenant(self, item: InvitationItem) -> TenantItem | None:
        """The organization, if it can be used and who invited may still add such a member."""
        tenant = await self.store.get_tenant(item.tenant_id)
        if tenant is None or tenant.status is not AccountStatus.ACTIVE or tenant.deletion_at is not None:
            return None
        if item.invited_by != authorization.OPERATOR:
            inviter = await self.store.get_member(tenant.id, item.invited_by.removeprefix("user:"))
            try:
                authorization.check_member_change(
                    Role.VIEWER if inviter is None else inviter.role, None, item.role
                )
            except Forbidden:
                return None
        return tenant


def normalize_email(email: str) -> str:
    """The form in which addresses are compared: ASCII letters are in lower case, since no other letters are equal."""
    return email.encode().lower().decode()


def _build_entry(item: InvitationItem, action: str, *events: MembershipChanged) -> OutboxEntry:
    return build_entry(
        ActivityType.MEMBER,
        action,
        f"invitation:{item.invitation_id}",
        *events,
        tenant_id=item.tenant_id,
        metadata={"email": item.email, "role": item.role.value},
    )


def _to_invitation(item: InvitationItem) -> Invitation:
    return Invitation(
        invitation_id=item.invitation_id,
        email=item.email,
        role=item.role,
        invited_by=item.invited_by,
        invited_by_name=item.invited_by_name,
        created_at=item.created_at,
        expires_at=_expiry(item),
    )


def _to_received(item: InvitationItem, tenant: TenantItem) -> ReceivedInvitation:
    return ReceivedInvitation(
        invitation_id=item.invitation_id,
        account_id=tenant.id,
        account_name=tenant.name,
        role=item.role,
        invited_by_name=item.invited_by_name,
        created_at=item.created_at,
        expires_at=_expiry(item),
    )


def _expiry(item: InvitationItem) -> datetime:
    return datetime.fromtimestamp(item.expires_at, UTC)
