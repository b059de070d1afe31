"""The endpoint that updates the streams of the channels' history after an upgrade."""

import asyncio

from artcafe_common import authorization
from artcafe_common.bus.endpoints import handles
from artcafe_common.contracts.tenancy.history import HistorySyncResult, SyncHistoryStreams
from artcafe_tenancy.endpoint_base import EndpointBase

# The cursor's owner and scope: the command goes over all tenants.
OWNER = "operator"
SCOPE = "history_streams"
# Each update opens a connection into the tenant's account.
CONCURRENT_UPDATES = 8


class HistoryStreamEndpoints(EndpointBase):
    """The operator's commands for history streams."""

    @handles(SyncHistoryStreams)
    async def sync_history_streams(self, request: SyncHistoryStreams) -> HistorySyncResult:
        authorization.require_operator()
        position = self.cursors.decode(OWNER, SCOPE, request.cursor)
        page = await self.store.scan_tenants(limit=request.limit, position=position)
        slots = asyncio.Semaphore(CONCURRENT_UPDATES)

        async def sync(tenant_id: str) -> bool | None:
            async with slots:
                return await self.streams.sync_history(tenant_id)

        tenant_ids = [tenant.id for tenant in page.items]
        results = dict(zip(tenant_ids, await asyncio.gather(*map(sync, tenant_ids)), strict=True))
        return HistorySyncResult(
            synced=sum(result is True for result in results.values()),
            rejected=[tenant_id for tenant_id, result in results.items() if result is False],
            next_cursor=self.cursors.encode(OWNER, SCOPE, page.position),
        )
