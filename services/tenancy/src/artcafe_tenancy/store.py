"""DynamoDB access of tenancy: organizations, members and profiles; other tables have their own modules."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from boto3.dynamodb.conditions import Attr

from artcafe_common import clock
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.tenancy.accounts import AccountNotFound
from artcafe_common.contracts.tenancy.fields import NameTaken
from artcafe_common.contracts.tenancy.members import LastOwner, MemberExists, Role
from artcafe_common.storage.dynamo import ConditionFailed, Database, TransactionFailed, Write
from artcafe_common.storage.table import Page, Table
from artcafe_tenancy.channel_subscription_table import SubscriptionTable
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
from artcafe_tenancy.unique_names import AgentTable, ClientTable, UniqueNameTable
from artcafe_tenancy.write_conflicts import MAX_ATTEMPTS, backoff


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
        self.channels = UniqueNameTable(database, outbox, CHANNELS, self._tenants, counter="channels_count")
        self.subjects = SubjectTable(database, outbox)
        self.subscriptions = SubscriptionTable(database)

    # -- organizations ---------------------------------------------------------------------------

    async def create_tenant(self, tenant: TenantItem, owner: MemberItem, entry: OutboxEntry) -> None:
        """Store a new organization with its first owner."""
        await self._database.transact_write(
            [
                self._tenants.build_put(tenant, new=True),
                self._members.build_put(owner, new=True),
                self._outbox.write_for(entry),
            ]
        )
        await self._outbox.publish(entry)

    async def get_tenant(self, tenant_id: str) -> TenantItem | None:
        """An organization (strongly consistent); None for a text that is not a well-formed id."""
        return await self._tenants.get(tenant_id, consistent=True) if is_ulid(tenant_id) else None

    async def get_tenants(self, tenant_ids: list[str]) -> list[TenantItem | None]:
        """Organizations, read concurrently, in the order of the ids."""
        return list(await asyncio.gather(*map(self.get_tenant, tenant_ids)))

    async def scan_tenants(self, *, limit: int, position: dict[str, Any] | None) -> Page[TenantItem]:
        """A page of all organizations; for operators only, never for a route."""
        return await self._tenants.scan_page(limit=limit, position=position)

    async def update_tenant(self, tenant_id: str, changes: dict[str, Any], entry: OutboxEntry) -> TenantItem:
        """Set attributes of an organization and publish the entry. Raises AccountNotFound."""
        if not is_ulid(tenant_id):
            raise AccountNotFound
        update = self._tenants.build_update(
            tenant_id, set_={**changes, "updated_at": clock.now()}, condition=Attr("id").exists()
        )
        try:
            await self._database.transact_write([update, self._outbox.write_for(entry)])
        except TransactionFailed:
            raise AccountNotFound from None
        await self._outbox.publish(entry)
        updated = await self.get_tenant(tenant_id)
        if updated is None:
            raise AccountNotFound
        return updated

    # -- agents ----------------------------------------------------------------------------------

    async def migrate_agent(
        self, tenant_id: str, agent_id: str, to_client: Callable[[AgentItem], tuple[ClientItem, OutboxEntry]]
    ) -> ClientItem | None:
        """Replace an agent with the client that `to_client` builds; None if the agent does not exist.

        Raises NameTaken if a client already uses the agent's name.
        """
        for _ in range(MAX_ATTEMPTS):
            agent = await self.agents.get(tenant_id, agent_id)
            if agent is None:
                return None
            client, entry = to_client(agent)
            writes = [*self.clients.transfer_in_writes(client), *self.agents.transfer_out_writes(agent)]
            try:
                await self._database.transact_write([*writes, self._outbox.write_for(entry)])
            except TransactionFailed as error:
                if error.failed == (1,):
                    raise NameTaken from None
                await backoff()
            else:
                await self._outbox.publish(entry)
                return client
        raise StoreUnavailable("too many concurrent changes of one agent")

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
        """A page of the memberships of a user."""
        return await self._members.query(user_id, limit=limit, position=position)

    async def add_member(self, member: MemberItem, entry: OutboxEntry) -> None:
        """Store a new member and publish the entry. Raises MemberExists."""
        writes = [self._members.build_put(member, new=True), self._outbox.write_for(entry)]
        if member.role is Role.OWNER:
            writes.append(self._count_owners(member.tenant_id, 1))
        try:
            await self._database.transact_write(writes)
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
        check: Callable[[Role], None],
        build_entry: Callable[[MemberItem], OutboxEntry],
    ) -> MemberItem | None:
        """Change a member's role, or remove the member for None; returns the member, None if not found.

        `check` receives the current role and raises if the change is not allowed. `build_entry` receives
        the member before the change. Raises LastOwner if no owner would be left.
        """
        for _ in range(MAX_ATTEMPTS):
            member = await self.get_member(tenant_id, user_id)
            if member is None:
                return None
            check(member.role)
            if member.role is role:
                return member
            entry = build_entry(member)
            try:
                updated = await self._update_member(member, role, entry)
            except ConditionFailed:
                await backoff()
            else:
                await self._outbox.publish(entry)
                return updated
        raise StoreUnavailable("too many concurrent changes of one member")

    async def _update_member(self, member: MemberItem, role: Role | None, entry: OutboxEntry) -> MemberItem:
        key, unchanged = (member.user_id, member.tenant_id), Attr("role").eq(member.role.value)
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
                raise ConditionFailed from None
            raise LastOwner from None
        return member if role is None else msgspec.structs.replace(member, **changes)

    # -- profiles --------------------------------------------------------------------------------

    async def get_profile(self, user_id: str) -> ProfileItem:
        """A user's profile (strongly consistent); an empty one if none is stored."""
        return await self._profiles.get(user_id, consistent=True) or ProfileItem(user_id=user_id)

    async def update_profile(self, user_id: str, changes: dict[str, Any]) -> ProfileItem:
        """Set attributes of a user's profile."""
        return await self._profiles.update(user_id, set_={**changes, "updated_at": clock.now()})

    def _count_owners(self, tenant_id: str, change: int) -> Write:
        condition = Attr("id").exists() if change > 0 else Attr("owners_count").gt(1)
        return self._tenants.build_update(tenant_id, add={"owners_count": change}, condition=condition)
