"""The endpoint that updates the streams of channels and subjects after an upgrade."""

import asyncio

from artcafe_common import authorization
from artcafe_common.bus.caller import current_tenant
from artcafe_common.bus.endpoints import handles
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.tenancy.history import (
    HistorySyncResult,
    ListWantedStreams,
    SyncHistoryStreams,
    WantedStreams,
)
from artcafe_tenancy.endpoint_base import EndpointBase

# The cursor's owner and scope: the command goes over all tenants.
OWNER = "operator"
SCOPE = "history_streams"
# Each update opens a connection into the tenant's account.
CONCURRENT_UPDATES = 8


class HistoryStreamEndpoints(EndpointBase):
    """The commands for streams: the operator's, and identity's comparison."""

    @handles(ListWantedStreams)
    async def list_wanted_streams(self, request: ListWantedStreams) -> WantedStreams:  # noqa: ARG002
        return WantedStreams(streams=await self.streams.list_wanted(current_tenant()))

    @handles(SyncHistoryStreams)
    async def sync_history_streams(self, request: SyncHistoryStreams) -> HistorySyncResult:
        authorization.require_operator()
        position = self.cursors.decode(OWNER, SCOPE, request.cursor)
        page = await self.store.scan_tenants(limit=request.limit, position=position)
        slots = asyncio.Semaphore(CONCURRENT_UPDATES)

        async def sync(tenant_id: str) -> tuple[int, bool]:
            async with slots:
                return await self.streams.sync(tenant_id)

        tenant_ids = [tenant.id for tenant in page.items]
        results = dict(zip(tenant_ids, await run_together(*map(sync, tenant_ids)), strict=True))
        return HistorySyncResult(
            synced=sum(synced for synced, _ in results.values()),
            rejected=[tenant_id for tenant_id, (_, rejected) in results.items() if rejected],
            next_cursor=self.cursors.encode(OWNER, SCOPE, page.position),
        )
