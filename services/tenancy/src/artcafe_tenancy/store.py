"""DynamoDB access to organizations and their members; the other tables have files of their own."""

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
from artcafe_common.storage.dynamo import ConditionFailed, Database, Page, TransactionFailed, Write
from artcafe_tenancy.channel_subscription_table import SubscriptionTable
from artcafe_tenancy.names import is_id, is_user_id
from artcafe_tenancy.outbox import Entry, Outbox
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
from artcafe_tenancy.unique_names import ATTEMPTS, AgentTable, ClientTable, NamedTable, pause


class Store:
    """Everything that tenancy keeps."""

    def __init__(self, database: Database, journal: Outbox) -> None:
        self._database = database
        self._journal = journal
        self._tenants = database.table(TENANTS)
        self._members = database.table(MEMBERS)
        self._profiles = database.table(PROFILES)
        self.clients = ClientTable(database, journal, self._tenants)
        self.agents = AgentTable(database, journal, self._tenants)
        self.channels = NamedTable(database, journal, CHANNELS, self._tenants, counter="channels_count")
        self.subjects = SubjectTable(database, journal)
        self.subscriptions = SubscriptionTable(database)

    # -- organizations ---------------------------------------------------------------------------

    async def found(self, tenant: TenantItem, owner: MemberItem, new: Entry) -> None:
        """Store a new organization together with its first member."""
        await self._database.transact_write(
            [
                self._tenants.build_put(tenant, new=True),
                self._members.build_put(owner, new=True),
                self._journal.keeping(new),
            ]
        )
        await self._journal.tell(new)

    async def tenant(self, tenant_id: str) -> TenantItem | None:
        """An organization, as it is now."""
        return await self._tenants.get(tenant_id, consistent=True) if is_id(tenant_id) else None

    async def tenants(self, tenant_ids: list[str]) -> list[TenantItem | None]:
        """Organizations, read at once."""
        return list(await asyncio.gather(*map(self.tenant, tenant_ids)))

    async def change_tenant(self, tenant_id: str, changes: dict[str, Any], new: Entry) -> TenantItem:
        """Set attributes of an organization; AccountNotFound."""
        if not is_id(tenant_id):
            raise AccountNotFound
        update = self._tenants.build_update(
            tenant_id, set_={**changes, "updated_at": clock.now()}, condition=Attr("id").exists()
        )
        try:
            await self._database.transact_write([update, self._journal.keeping(new)])
        except TransactionFailed:
            raise AccountNotFound from None
        await self._journal.tell(new)
        changed = await self.tenant(tenant_id)
        if changed is None:
            raise AccountNotFound
        return changed

    # -- agents ----------------------------------------------------------------------------------

    async def migrate_agent(
        self, tenant_id: str, agent_id: str, become: Callable[[AgentItem], tuple[ClientItem, Entry]]
    ) -> ClientItem | None:
        """Put the client that `become` makes in an agent's place, and tell of it; None without the agent.

        NameTaken when another client bears the agent's name.
        """
        for _ in range(ATTEMPTS):
            agent = await self.agents.get(tenant_id, agent_id)
            if agent is None:
                return None
            client, new = become(agent)
            moving = [*self.clients.moving_in(client), *self.agents.moving_out(agent)]
            try:
                await self._database.transact_write([*moving, self._journal.keeping(new)])
            except TransactionFailed as error:
                if error.failed == (1,):
                    raise NameTaken from None
                await pause()
            else:
                await self._journal.tell(new)
                return client
        raise StoreUnavailable("too many changes of one item at once")

    # -- members ---------------------------------------------------------------------------------

    async def member(self, tenant_id: str, user_id: str) -> MemberItem | None:
        """A user's place in an organization, as it is now."""
        if not is_user_id(user_id) or not is_id(tenant_id):
            return None
        return await self._members.get(user_id, tenant_id, consistent=True)

    async def members(
        self, tenant_id: str, *, limit: int, position: dict[str, Any] | None
    ) -> Page[MemberItem]:
        """A page of an organization's members."""
        return await self._members.query(tenant_id, index="TenantIndex", limit=limit, position=position)

    async def memberships(
        self, user_id: str, *, limit: int, position: dict[str, Any] | None = None
    ) -> Page[MemberItem]:
        """A page of a user's places."""
        return await self._members.query(user_id, limit=limit, position=position)

    async def add_member(self, member: MemberItem, new: Entry) -> None:
        """Store a new member; MemberExists."""
        writes = [self._members.build_put(member, new=True), self._journal.keeping(new)]
        if member.role is Role.OWNER:
            writes.append(self._counting_owners(member.tenant_id, 1))
        try:
            await self._database.transact_write(writes)
        except TransactionFailed as error:
            if 0 in error.failed:
                raise MemberExists from None
            raise
        await self._journal.tell(new)

    async def change_member(
        self,
        tenant_id: str,
        user_id: str,
        role: Role | None,
        check: Callable[[Role], None],
        tells: Callable[[MemberItem], Entry],
    ) -> MemberItem | None:
        """Give a member another role, or (None) remove them; the member as changed or last seen.

        `check` raises when a member of the role that it is given must not be changed so. LastOwner
        when no owner would be left, also when the last two leave at once. What is told of it is
        what `tells` makes of the member as they were.
        """
        for _ in range(ATTEMPTS):
            member = await self.member(tenant_id, user_id)
            if member is None:
                return None
            check(member.role)
            if member.role is role:
                return member
            new = tells(member)
            try:
                changed = await self._change_member(member, role, new)
            except ConditionFailed:
                await pause()
            else:
                await self._journal.tell(new)
                return changed
        raise StoreUnavailable("too many changes of one member at once")

    async def _change_member(self, member: MemberItem, role: Role | None, new: Entry) -> MemberItem:
        key, unchanged = (member.user_id, member.tenant_id), Attr("role").eq(member.role.value)
        changes = {"role": role, "updated_at": clock.now()}
        writes = [
            self._members.build_delete(*key, condition=unchanged)
            if role is None
            else self._members.build_update(*key, set_=changes, condition=unchanged),
            self._journal.keeping(new),
        ]
        if Role.OWNER in (member.role, role):
            writes.append(self._counting_owners(member.tenant_id, 1 if role is Role.OWNER else -1))
        try:
            await self._database.transact_write(writes)
        except TransactionFailed as error:
            if 0 in error.failed:
                raise ConditionFailed from None
            raise LastOwner from None
        return member if role is None else msgspec.structs.replace(member, **changes)

    # -- people ----------------------------------------------------------------------------------

    async def profile(self, user_id: str) -> ProfileItem:
        """A person's profile, as it is now; empty where they never had one."""
        return await self._profiles.get(user_id, consistent=True) or ProfileItem(user_id=user_id)

    async def change_profile(self, user_id: str, changes: dict[str, Any]) -> ProfileItem:
        """Set attributes of a person's profile."""
        return await self._profiles.update(user_id, set_={**changes, "updated_at": clock.now()})

    def _counting_owners(self, tenant_id: str, change: int) -> Write:
        enough = Attr("id").exists() if change > 0 else Attr("owners_count").gt(1)
        return self._tenants.build_update(tenant_id, add={"owners_count": change}, condition=enough)
