"""DynamoDB access of tenancy: organizations, members and profiles; other tables have their own modules."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr, ConditionBase

from artcafe_common import clock
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, OrganizationLimitReached
from artcafe_common.contracts.tenancy.conditional import VersionCheck
from artcafe_common.contracts.tenancy.fields import NameTaken
from artcafe_common.contracts.tenancy.members import LastOwner, MemberExists, Role
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_common.storage.table import Page, Table
from artcafe_tenancy import names
from artcafe_tenancy.channel_subscription_table import SubscriptionTable
from artcafe_tenancy.client_table import ClientTable
from artcafe_tenancy.deletion_table import DeletionTable
from artcafe_tenancy.invitation_table import InvitationTable
from artcafe_tenancy.names import is_ulid, is_user_id
from artcafe_tenancy.outbox import Outbox, OutboxEntry
from artcafe_tenancy.subject_table import SubjectTable
from artcafe_tenancy.tables import (
    CHANNELS,
    MEMBERS,
    PROFILES,
    TENANTS,
    AgentItem,
    ClientItem,
    MemberItem,
    ProfileItem,
    TenantItem,
)
from artcafe_tenancy.unique_names import AgentTable, UniqueNameTable
from artcafe_tenancy.write_conflicts import WriteConflict, repeat_on_conflict

# Memberships that are read at once while a user's organizations are counted.
FOUNDED_PAGE = 50
DELETED_PAGE = 100


class OrganizationCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many organizations a user created, and whether that number is stored."""

    count: int
    stored: bool


class Store:
    """Reads and writes organizations, members and profiles, and gives access to the other tables."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._tenants = Table(database, TENANTS)
        self._members = Table(database, MEMBERS)
        self._profiles = Table(database, PROFILES)
        self.clients = ClientTable(database, outbox, self._tenants)
        self.agents = AgentTable(database, outbox, self._tenants)
        self.channels = UniqueNameTable(
            database, outbox, CHANNELS, self._tenants, counter="channels_count", counted="channels"
        )
        self.subjects = SubjectTable(database, outbox)
        self.subscriptions = SubscriptionTable(database)
        self.deletions = DeletionTable(database)
        self.invitations = InvitationTable(database, outbox)

    # -- organizations ---------------------------------------------------------------------------

    async def create_tenant(
        self, tenant: TenantItem, owner: MemberItem, entry: OutboxEntry, *, limit: int
    ) -> None:
        """Store a new organization with its first owner. Raises OrganizationLimitReached."""

        async def change() -> None:
            counted = await self.check_organizations(owner.user_id, limit)
            try:
                await self._database.transact_write(
                    [
                        self._tenants.build_put(tenant, new=True),
                        self._members.build_put(owner, new=True),
                        self._count_organization(owner.user_id, counted, limit),
                        self._outbox.write_for(entry),
                    ]
                )
            except TransactionFailed as error:
                if 2 not in error.failed:  # noqa: PLR2004 - the counter
                    raise
                raise WriteConflict from None

        await repeat_on_conflict(change)
        await self._outbox.publish(entry)

    async def check_organizations(self, user_id: str, limit: int) -> OrganizationCount:
        """How many organizations the user created. Raises OrganizationLimitReached for `limit` or more."""
        stored = (await self.get_profile(user_id)).organizations_count
        count = await self._count_founded(user_id) if stored is None else stored
        if count >= limit:
            raise OrganizationLimitReached
        return OrganizationCount(count=count, stored=stored is not None)

    async def get_tenant(self, tenant_id: str) -> TenantItem | None:
        """An organization (strongly consistent); None for one whose data are being deleted, and for a malformed id."""
        tenant = await self._tenants.get(tenant_id, consistent=True) if is_ulid(tenant_id) else None
        return None if tenant is None or tenant.purging else tenant

    async def get_tenants(self, tenant_ids: list[str]) -> list[TenantItem | None]:
        """Organizations, read concurrently, in the order of the ids."""
        return list(await run_together(*map(self.get_tenant, tenant_ids)))

    async def scan_tenants(self, *, limit: int, position: dict[str, Any] | None) -> Page[TenantItem]:
        """A page of all organizations; for operators only, never for a route."""
        return await self._tenants.scan_page(limit=limit, position=position)

    async def update_tenant(
        self,
        tenant_id: str,
        changes: dict[str, Any] | Callable[[TenantItem], dict[str, Any] | None],
        entry: OutboxEntry,
        check_version: VersionCheck | None = None,
        *,
        further: Sequence[Write] = (),
    ) -> TenantItem:
        """Set attributes of an organization and publish the entry. Raises AccountNotFound.

        `changes` may be built from the organization before; nothing is written then if they are None. The write is
        conditional on the version that `check_version` accepted. `further` are written in the same transaction.
        """

        async def change() -> TenantItem:
            tenant = await self.get_tenant(tenant_id)
            if tenant is None:
                raise AccountNotFound
            if check_version is not None:
                check_version(tenant.updated_at)
            new_values = changes(tenant) if callable(changes) else changes
            if new_values is None:
                return tenant
            names.check_change(tenant.name, new_values.get("name", tenant.name))
            values = {**new_values, "updated_at": clock.now()}
            update = self._tenants.build_update(
                tenant_id, set_=values, condition=_unchanged(tenant.updated_at) & Attr("id").exists()
            )
            try:
                await self._database.transact_write([update, self._outbox.write_for(entry), *further])
            except TransactionFailed:
                raise WriteConflict from None
            await self._outbox.publish(entry)
            return msgspec.structs.replace(tenant, **values)

        return await repeat_on_conflict(change)

    async def delete_members(self, tenant_id: str) -> None:
        """Remove all members of an organization. Idempotent."""
        position = None
        while True:
            page = await self.list_members(tenant_id, limit=DELETED_PAGE, position=position)
            await self._database.batch_write(
                [self._members.build_delete(member.user_id, tenant_id) for member in page.items]
            )
            position = page.position
            if position is None:
                return

    async def delete_tenant(self, tenant: TenantItem) -> None:
        """Remove an organization, which then no longer counts for the user who created it."""
        writes = [self._tenants.build_delete(tenant.id, condition=Attr("id").exists())]
        if tenant.created_by and (await self.get_profile(tenant.created_by)).organizations_count:
            writes.append(
                self._profiles.build_update(
                    tenant.created_by,
                    add={"organizations_count": -1},
                    condition=Attr("organizations_count").gt(0),
                )
            )
        await self._database.transact_write(writes)

    async def find_founder(self, tenant: TenantItem) -> str:
        """The user whose number of organizations includes one of an earlier release; empty if that user left."""
        position = None
        while True:
            page = await self.list_members(tenant.id, limit=DELETED_PAGE, position=position)
            for member in page.items:
                if member.role is Role.OWNER and member.created_at == tenant.created_at:
                    return member.user_id
            position = page.position
            if position is None:
                return ""

    # -- agents ----------------------------------------------------------------------------------

    async def migrate_agent(
        self, tenant_id: str, agent_id: str, to_client: Callable[[AgentItem], tuple[ClientItem, OutboxEntry]]
    ) -> ClientItem | None:
        """Replace an agent with the client that `to_client` builds; None if the agent does not exist.

        Raises NameTaken if a client already uses the agent's name.
        """

        async def change() -> ClientItem | None:
            agent = await self.agents.get(tenant_id, agent_id)
            if agent is None:
                return None
            client, entry = to_client(agent)
            added = self.clients.transfer_in_writes(client)
            writes = [*added, *self.agents.transfer_out_writes(agent), self._outbox.write_for(entry)]
            try:
                await self._database.transact_write(writes)
            except TransactionFailed as error:
                if set(error.failed) <= set(range(2, len(added))):
                    raise NameTaken from None
                if error.failed == (1,):
                    message = "another client has this key"
                    fields = (FieldError(field="nkey_public", message=message),)
                    raise InvalidRequest(message, errors=fields) from None
                raise WriteConflict from None
            await self._outbox.publish(entry)
            return client

        return await repeat_on_conflict(change)

    # -- members ---------------------------------------------------------------------------------

    async def get_member(self, tenant_id: str, user_id: str) -> MemberItem | None:
        """A user's membership of an organization (strongly consistent)."""
        if not is_user_id(user_id) or not is_ulid(tenant_id):
            return None
        return await self._members.get(user_id, tenant_id, consistent=True)

    async def list_members(
        self, tenant_id: str, *, limit: int, position: dict[str, Any] | None
    ) -> Page[MemberItem]:
        """A page of an organization's members."""
        return await self._members.query(tenant_id, index="TenantIndex", limit=limit, position=position)

    async def list_memberships(
        self, user_id: str, *, limit: int, position: dict[str, Any] | None = None
    ) -> Page[MemberItem]:
        """A page of the memberships of a user (strongly consistent)."""
        return await self._members.query(user_id, limit=limit, position=position, consistent=True)

    async def mark_visited(self, member: MemberItem) -> None:
        """Record that a member has acted for the organization. Raises ConditionFailed if the member left meanwhile."""
        await self._members.update(
            member.user_id, member.tenant_id, set_={"visited": True}, condition=Attr("role").exists()
        )

    async def get_members(self, tenant_id: str, user_ids: Sequence[str]) -> list[MemberItem]:
        """Those of the users who are members of the organization, read concurrently."""
        found = await run_together(*(self.get_member(tenant_id, each) for each in user_ids))
        return [member for member in found if member is not None]

    async def add_member(
        self, member: MemberItem, entry: OutboxEntry, *, further: Sequence[Write] = ()
    ) -> None:
        """Store a new member, with `further` in the same transaction. Raises MemberExists, TransactionFailed."""
        writes = [self._members.build_put(member, new=True), self._outbox.write_for(entry)]
        if member.role is Role.OWNER:
            writes.append(self._count_owners(member.tenant_id, 1))
        try:
            await self._database.transact_write([*writes, *further])
        except TransactionFailed as error:
            if 0 in error.failed:
                raise MemberExists from None
            raise
        await self._outbox.publish(entry)

    async def update_member(
        self,
        tenant_id: str,
        user_id: str,
        role: Role | None,
        check: Callable[[MemberItem], None],
        build_entry: Callable[[MemberItem], OutboxEntry],
    ) -> MemberItem | None:
        """Change a member's role, or remove the member for None; returns the member, None if not found.

        `check` receives the member before the change and raises if the change is not allowed. `build_entry`
        receives it too. Raises LastOwner if no owner would be left.
        """

        async def change() -> MemberItem | None:
            member = await self.get_member(tenant_id, user_id)
            if member is None:
                return None
            check(member)
            if member.role is role:
                return member
            entry = build_entry(member)
            updated = await self._update_member(member, role, entry)
            await self._outbox.publish(entry)
            return updated

        return await repeat_on_conflict(change)

    async def _update_member(self, member: MemberItem, role: Role | None, entry: OutboxEntry) -> MemberItem:
        key = (member.user_id, member.tenant_id)
        unchanged = Attr("role").eq(member.role.value) & _unchanged(member.updated_at)
        changes = {"role": role, "updated_at": clock.now()}
        writes = [
            self._members.build_delete(*key, condition=unchanged)
            if role is None
            else self._members.build_update(*key, set_=changes, condition=unchanged),
            self._outbox.write_for(entry),
        ]
        if Role.OWNER in (member.role, role):
            writes.append(self._count_owners(member.tenant_id, 1 if role is Role.OWNER else -1))
        try:
            await self._database.transact_write(writes)
        except TransactionFailed as error:
            if 0 in error.failed:
                raise WriteConflict from None
            raise LastOwner from None
        return member if role is None else msgspec.structs.replace(member, **changes)

    # -- profiles --------------------------------------------------------------------------------

    async def get_profile(self, user_id: str) -> ProfileItem:
        """A user's profile (strongly consistent); an empty one if none is stored."""
        return await self._profiles.get(user_id, consistent=True) or ProfileItem(user_id=user_id)

    async def get_profiles(self, user_ids: Sequence[str]) -> list[ProfileItem]:
        """Profiles, read concurrently, in the order of the ids."""
        return list(await run_together(*map(self.get_profile, user_ids)))

    async def record_details(self, user_id: str, email: str, name: str, *, verified: bool | None) -> None:
        """Store what the identity provider says of a user, if it differs; of a new address that is unverified."""
        stored = await self.get_profile(user_id)
        if verified is None:
            verified = stored.email_verified and email in ("", stored.email)
        email, name = email or stored.email, name or stored.provider_name
        changes = {"email": email, "email_verified": verified, "provider_name": name}
        if any(getattr(stored, field) != value for field, value in changes.items()):
            await self._profiles.update(user_id, set_=changes)

    async def update_profile(
        self, user_id: str, changes: dict[str, Any], check_version: VersionCheck
    ) -> ProfileItem:
        """Set attributes of a user's profile, on condition of the version that `check_version` accepted."""

        async def change() -> ProfileItem:
            before = await self.get_profile(user_id)
            check_version(before.updated_at)
            names.check_change(before.name, changes.get("name", before.name))
            values = {**changes, "updated_at": clock.now()}
            update = self._profiles.build_update(
                user_id, set_=values, condition=_unchanged(before.updated_at)
            )
            try:
                await self._database.write(update, once=True)
            except ConditionFailed:
                raise WriteConflict from None
            return msgspec.structs.replace(before, **values)

        return await repeat_on_conflict(change)

    def _count_organization(self, user_id: str, counted: OrganizationCount, limit: int) -> Write:
        if counted.stored:
            below_limit = Attr("organizations_count").lt(limit)
            return self._profiles.build_update(user_id, add={"organizations_count": 1}, condition=below_limit)
        return self._profiles.build_update(
            user_id,
            set_={"organizations_count": counted.count + 1},
            condition=Attr("organizations_count").not_exists(),
        )

    async def _count_founded(self, user_id: str) -> int:
        """The organizations of earlier releases that the user created and still owns.

        Their owner's membership is as old as they are. Being made an owner by somebody else does not count.
        """
        position, founded = None, 0
        while True:
            page = await self.list_memberships(user_id, limit=FOUNDED_PAGE, position=position)
            owned = [each for each in page.items if each.role is Role.OWNER]
            tenants = await self.get_tenants([each.tenant_id for each in owned])
            founded += sum(
                tenant is not None and tenant.created_at == each.created_at
                for each, tenant in zip(owned, tenants, strict=True)
            )
            position = page.position
            if position is None:
                return founded

    def _count_owners(self, tenant_id: str, change: int) -> Write:
        condition = Attr("id").exists() if change > 0 else Attr("owners_count").gt(1)
        return self._tenants.build_update(tenant_id, add={"owners_count": change}, condition=condition)


def _unchanged(updated_at: datetime | None) -> ConditionBase:
    """The condition that an item was not updated since it was read."""
    attribute = Attr("updated_at")
    return attribute.not_exists() if updated_at is None else attribute.eq(msgspec.to_builtins(updated_at))
