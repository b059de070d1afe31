"""Endpoints of members, and the membership check of every user request."""

from contextlib import suppress

from artcafe_common import authorization, clock
from artcafe_common.bus.caller import CallerContext, current_caller
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import CommandError, Forbidden
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.identity.clients import AccountDeleted, AccountSuspended
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import MembershipChanged
from artcafe_common.contracts.tenancy.members import (
    AddMember,
    ListMembers,
    Member,
    MemberNotFound,
    Members,
    Membership,
    RemoveMember,
    ResolveMembership,
    Role,
    TenantRequired,
    UpdateMember,
)
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_tenancy import names
from artcafe_tenancy.endpoint_base import EndpointBase, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry
from artcafe_tenancy.people import Person, describe_members
from artcafe_tenancy.tables import MemberItem


class MemberEndpoints(EndpointBase):
    """Commands of members and their roles."""

    @handles(ResolveMembership)
    async def resolve_membership(self, request: ResolveMembership) -> Membership:
        tenant_id = request.tenant_id
        if tenant_id is None:
            tenant_id = await self._get_only_tenant(request.user_id)
        # Both are always read, so the response time does not reveal whether the tenant exists.
        member, tenant = await run_together(
            self.store.get_member(tenant_id, request.user_id), self.store.get_tenant(tenant_id)
        )
        if member is None or tenant is None:
            raise Forbidden
        if tenant.status is AccountStatus.SUSPENDED:
            raise AccountSuspended
        if tenant.deletion_at is not None and not request.include_deleted:
            raise AccountDeleted
        if not member.visited:
            # Once for each member; the membership does not depend on it.
            with suppress(CommandError, ConditionFailed):
                await self.store.mark_visited(member)
        return Membership(tenant_id=tenant.id, user_id=member.user_id, role=member.role, plan=tenant.plan)

    async def _get_only_tenant(self, user_id: str) -> str:
        if not names.is_user_id(user_id):
            raise Forbidden
        memberships = (await self.store.list_memberships(user_id, limit=2)).items
        if not memberships:
            raise Forbidden
        if len(memberships) > 1:
            raise TenantRequired
        return memberships[0].tenant_id

    @handles(AddMember)
    async def add_member(self, request: AddMember) -> Member:
        tenant_id = authorization.require_role(Role.ADMIN)
        authorization.check_member_change(authorization.role_of(current_caller()), None, request.role)
        now = clock.now()
        member = MemberItem(
            user_id=request.user_id,
            tenant_id=tenant_id,
            email=request.email,
            role=request.role,
            created_at=now,
            updated_at=now,
        )
        await self.store.add_member(member, _build_entry(member, "member.added", member.role, new=True))
        return _to_member(member, Person(email=member.email, name=""))

    @handles(ListMembers)
    async def list_members(self, request: ListMembers) -> Members:
        tenant_id = authorization.require_role(Role.VIEWER)
        items, next_cursor = await self.read_page(self.store.list_members, tenant_id, "members", request)
        people = await describe_members(self.store, items)
        members = [_to_member(*each) for each in zip(items, people, strict=True)]
        return Members(members=members, next_cursor=next_cursor)

    @handles(UpdateMember)
    async def update_member(self, request: UpdateMember) -> Member:
        tenant_id = authorization.require_role(Role.ADMIN)
        return await self._update_member(tenant_id, request, request.role)

    @handles(RemoveMember)
    async def remove_member(self, request: RemoveMember) -> Member:
        leaving = _is_user(current_caller(), request.user_id)
        tenant_id = authorization.require_role(Role.VIEWER if leaving else Role.ADMIN)
        return await self._update_member(tenant_id, request, None, leaving=leaving)

    async def _update_member(
        self,
        tenant_id: str,
        request: UpdateMember | RemoveMember,
        role: Role | None,
        *,
        leaving: bool = False,
    ) -> Member:
        actor = authorization.role_of(current_caller())

        def check(before: MemberItem) -> None:
            if not leaving:
                authorization.check_member_change(actor, before.role, role)
            request.check_version(before.updated_at)

        action = "member.updated" if role is not None else "member.left" if leaving else "member.removed"
        member = await self.store.update_member(
            tenant_id, request.user_id, role, check, lambda before: _build_entry(before, action, role)
        )
        member = require_found(member, MemberNotFound)
        (person,) = await describe_members(self.store, [member])
        return _to_member(member, person)


def _build_entry(member: MemberItem, action: str, role: Role | None, *, new: bool = False) -> OutboxEntry:
    return build_entry(
        ActivityType.MEMBER,
        action,
        f"user:{member.user_id}",
        MembershipChanged(
            tenant_id=member.tenant_id,
            user_id=member.user_id,
            role=role,
            previous_role=None if new else member.role,
        ),
        metadata={"role": role.value} if role is not None else {},
    )


def _is_user(caller: CallerContext, user_id: str) -> bool:
    return caller.actor == f"user:{user_id}"


def _to_member(member: MemberItem, person: Person) -> Member:
    return Member(
        user_id=member.user_id,
        email=person.email,
        name=person.name,
        role=member.role,
        created_at=member.created_at,
        updated_at=member.updated_at,
    )
