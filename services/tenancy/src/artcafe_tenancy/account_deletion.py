"""Deletes the data of organizations whose grace is over; see `deletion_table` for the states.

A step that was interrupted is made again by any instance: everything here is idempotent.
"""

from collections.abc import Sequence

import structlog

from artcafe_common import clock
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.events import AccountDataDeleted, AccountExpired
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.deletion_table import LAST_ROUND, ROUND_PAUSE, SERVICES, is_confirmed
from artcafe_tenancy.store import Store
from artcafe_tenancy.tables import AgentItem, ChannelItem, ClientItem, DeletionItem

CHECK_INTERVAL_S = 5
log = structlog.get_logger()


class AccountDeleter:
    """Advances deletions that are due, and records what the services confirm."""

    def __init__(self, store: Store, activity: ActivityTable, bus: Bus) -> None:
        self._store = store
        self._deletions = store.deletions
        self._activity = activity
        self._bus = bus

    async def run(self) -> None:
        """Make the next step of every deletion that is due."""
        for due in await self._deletions.list_due():
            try:
                item = await self._deletions.claim(due)
                if item is not None:
                    await self._advance(item)
            except (ConditionFailed, TransactionFailed):
                continue  # Another instance was faster, or the step is made again.
            except CommandError as error:
                log.warning("account_deletion_postponed", tenant_id=due.holder, reason=error.detail)

    async def on_data_deleted(self, event: AccountDataDeleted) -> None:
        """Record a service's confirmation. Idempotent."""
        if event.service in SERVICES:
            await self._deletions.confirm(event.tenant_id, event.round, event.service)

    async def _advance(self, item: DeletionItem) -> None:
        if item.round == 0:
            if not await self._begin(item):
                return
            item = await self._deletions.start_round(item, 1)
        if not is_confirmed(item):
            await self._bus.publish(AccountExpired(tenant_id=item.holder, round=item.round))
            return
        await self._delete_own_data(item.holder)
        if item.round < LAST_ROUND:
            await self._deletions.start_round(item, item.round + 1, at=clock.now() + ROUND_PAUSE)
        else:
            await self._deletions.remove(item)
        log.info("account_data_deleted", tenant_id=item.holder, round=item.round)

    async def _begin(self, item: DeletionItem) -> bool:
        tenant = await self._deletions.get_tenant(item.holder)
        if tenant is None or tenant.purging:
            return True
        if tenant.deletion_at is None or tenant.deletion_at > clock.now():
            return False
        founder = tenant.created_by or await self._store.find_founder(tenant)
        return await self._deletions.begin(tenant, created_by=founder)

    async def _delete_own_data(self, tenant_id: str) -> None:
        subscriptions = self._store.subscriptions

        async def before_channels(channels: Sequence[ChannelItem]) -> None:
            await run_together(*(subscriptions.delete_channel(each.channel_id) for each in channels))

        async def before_clients(clients: Sequence[ClientItem]) -> None:
            await run_together(*(subscriptions.delete_client(each.client_id) for each in clients))

        async def before_agents(agents: Sequence[AgentItem]) -> None:
            await run_together(*(subscriptions.delete_client(each.id) for each in agents))

        await self._store.channels.delete_all(tenant_id, before_channels)
        await self._store.clients.delete_all(tenant_id, before_clients)
        await self._store.agents.delete_all(tenant_id, before_agents)
        await self._store.subjects.delete_all(tenant_id)
        await self._store.delete_members(tenant_id)
        await self._store.invitations.delete_all(tenant_id)
        await self._activity.delete_all(tenant_id)
        tenant = await self._deletions.get_tenant(tenant_id)
        if tenant is not None:
            await self._store.delete_tenant(tenant)
