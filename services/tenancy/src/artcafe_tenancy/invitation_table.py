"""DynamoDB access to invitations, by organization and by e-mail address. Expired ones do not exist."""

import asyncio
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from artcafe_common import clock
from artcafe_common.contracts.tenancy.invitations import MAX_INVITATIONS, InvitationLimitReached
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import TransactionFailed
from artcafe_common.storage.table import Page, Table
from artcafe_tenancy.outbox import Outbox, OutboxEntry
from artcafe_tenancy.tables import INVITATIONS, InvitationItem

DELETED_PAGE = 100
# How long an index may lack a new item; no other read finds an invitation by its id and address.
INDEX_LAG_S = 0.5


class InvitationTable:
    """Reads and writes invitations; there is one for each organization and address."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._items = Table(database, INVITATIONS)

    async def list(
        self, tenant_id: str, *, limit: int, position: dict[str, Any] | None = None
    ) -> Page[InvitationItem]:
        """A page of an organization's invitations (strongly consistent)."""
        return await self._items.query(
            tenant_id, limit=limit, position=position, where=_is_open(), consistent=True
        )

    async def find(self, tenant_id: str, invitation_id: str) -> InvitationItem | None:
        """An organization's invitation by its id (strongly consistent)."""
        where = _is_open() & Attr("invitation_id").eq(invitation_id)
        page = await self._items.query(tenant_id, limit=1, where=where, consistent=True)
        return page.items[0] if page.items else None

    async def get(self, tenant_id: str, email: str) -> InvitationItem | None:
        """An organization's invitation for an address (strongly consistent)."""
        item = await self._items.get(tenant_id, email, consistent=True)
        return item if item is not None and item.expires_at > clock.now().timestamp() else None

    async def list_for(
        self, email: str, *, limit: int, position: dict[str, Any] | None = None
    ) -> Page[InvitationItem]:
        """A page of the invitations for an address, which the caller has verified."""
        return await self._items.query(
            email, index="EmailIndex", limit=limit, position=position, where=_is_open()
        )

    async def find_for(self, email: str, invitation_id: str) -> InvitationItem | None:
        """The invitation with this id for an address, which the caller has verified; also one of this moment."""
        item = await self._look_up(email, invitation_id)
        if item is None:
            await asyncio.sleep(INDEX_LAG_S)
            item = await self._look_up(email, invitation_id)
        return item

    async def _look_up(self, email: str, invitation_id: str) -> InvitationItem | None:
        page = await self._items.query(
            email,
            index="EmailIndex",
            limit=1,
            range_=Key("invitation_id").eq(invitation_id),
            where=_is_open(),
        )
        return page.items[0] if page.items else None

    async def put(self, item: InvitationItem, entry: OutboxEntry) -> None:
        """Store an invitation in place of an earlier one for the address. Raises InvitationLimitReached."""
        page = await self.list(item.tenant_id, limit=MAX_INVITATIONS)
        if len(page.items) >= MAX_INVITATIONS and all(each.email != item.email for each in page.items):
            raise InvitationLimitReached
        await self._database.transact_write([self._items.build_put(item), self._outbox.write_for(entry)])
        await self._outbox.publish(entry)

    async def remove(self, item: InvitationItem, entry: OutboxEntry) -> bool:
        """Remove an invitation; False if it does not exist any more."""
        try:
            await self._database.transact_write([self.build_removal(item), self._outbox.write_for(entry)])
        except TransactionFailed:
            return False
        await self._outbox.publish(entry)
        return True

    def build_removal(self, item: InvitationItem) -> Write:
        """A write that removes an invitation, on condition that it was not replaced or removed."""
        condition = Attr("invitation_id").eq(item.invitation_id)
        return self._items.build_delete(item.tenant_id, item.email, condition=condition)

    async def delete_all(self, tenant_id: str) -> None:
        """Remove all invitations of an organization. Idempotent."""
        position = None
        while True:
            page = await self._items.query(tenant_id, limit=DELETED_PAGE, position=position, consistent=True)
            await self._database.batch_write(
                [self._items.build_delete(each.tenant_id, each.email) for each in page.items]
            )
            position = page.position
            if position is None:
                return


def _is_open() -> ConditionBase:
    # DynamoDB deletes expired items some time later.
    return Attr("expires_at").gt(int(clock.now().timestamp()))
