"""REST routes: invitations to organizations."""

from typing import Any

import msgspec
from litestar import Controller, delete, get, post
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.contracts.tenancy.invitations import (
    AcceptInvitation,
    CreateInvitation,
    DeclineInvitation,
    Invitation,
    Invitations,
    ListInvitations,
    ListReceivedInvitations,
    ReceivedInvitation,
    ReceivedInvitations,
    RevokeInvitation,
)
from artcafe_common.contracts.tenancy.profiles import Organization
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import AuthenticatedUser, TenantUser
from artcafe_gateway.http.idempotency import EXECUTED_AS
from artcafe_gateway.http.idempotency_store import ExecutedAs
from artcafe_gateway.http.request import read_body, read_query, validate_id


class CreatedInvitation(Invitation, frozen=True, kw_only=True):
    """An open invitation. `link` is where the invited person accepts it: a path on the host of the console."""

    link: str


class AccountInvitationsController(Controller):
    """Invitations of people by their e-mail address: those of an organization, and those that a person receives."""

    path = "/accounts/{account_id:str}/invitations"
    tags = ["invitations"]

    @get("/", summary="List the organization's open invitations", commands=[ListInvitations])
    async def list_invitations(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> Invitations:
        return await gateway.bus.call(read_query(request, ListInvitations), caller=tenant_user.caller)

    @post("/", summary="Invite a person by e-mail address", commands=[CreateInvitation])
    async def create(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
    ) -> CreatedInvitation:
        command = await read_body(request, CreateInvitation)
        invitation = await gateway.bus.call(command, caller=tenant_user.caller)
        return CreatedInvitation(
            **msgspec.structs.asdict(invitation), link=f"/console/?invitation={invitation.invitation_id}"
        )

    @delete(
        "/{invitation_id:str}",
        status_code=200,
        summary="Revoke an invitation",
        commands=[RevokeInvitation],
    )
    async def revoke(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        invitation_id: FromPath[str],
    ) -> Invitation:
        command = RevokeInvitation(invitation_id=validate_id(invitation_id))
        return await gateway.bus.call(command, caller=tenant_user.caller)


class InvitationsController(Controller):
    """Invitations of people by their e-mail address: those of an organization, and those that a person receives."""

    path = "/invitations"
    tags = ["invitations"]

    @get("/", summary="List the invitations for the signed-in person", commands=[ListReceivedInvitations])
    async def list_received(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> ReceivedInvitations:
        return await gateway.bus.call(read_query(request, ListReceivedInvitations), caller=user.caller)

    @post(
        "/{invitation_id:str}/accept",
        status_code=200,
        summary="Accept an invitation, and become a member",
        commands=[AcceptInvitation],
    )
    async def accept(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
        invitation_id: FromPath[str],
    ) -> Organization:
        command = AcceptInvitation(invitation_id=validate_id(invitation_id))
        organization = await gateway.bus.call(command, caller=user.caller)
        gateway.lookup_cache.invalidate_membership(user.identity.user_id, organization.account_id)
        request.scope["state"][EXECUTED_AS] = ExecutedAs(
            tenant_id=organization.account_id, role=organization.role.value
        )
        return organization

    @post(
        "/{invitation_id:str}/decline",
        status_code=200,
        summary="Decline an invitation",
        commands=[DeclineInvitation],
    )
    async def decline(
        self,
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
        invitation_id: FromPath[str],
    ) -> ReceivedInvitation:
        command = DeclineInvitation(invitation_id=validate_id(invitation_id))
        return await gateway.bus.call(command, caller=user.caller)
