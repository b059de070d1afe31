"""Recovers usage counters that Redis lost from the archived daily totals.

Redis may come back empty, or as of a backup. After each of its starts, a tenant's counters are compared with the
archive before anything of the tenant is counted or read, and raised to it.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import structlog

from artcafe_common.clock import now
from artcafe_common.concurrency import run_together
from artcafe_metering.archive import UsageArchive
from artcafe_metering.periods import LATE_DAYS, REDIS_RETENTION_DAYS
from artcafe_metering.store import UsageCounters

MAX_CONCURRENT_READS = 16
log = structlog.get_logger()


class UsageRecovery:
    """Several instances may recover the same tenant; the second one changes nothing."""

    def __init__(self, counters: UsageCounters, archive: UsageArchive) -> None:
        self._counters = counters
        self._archive = archive
        self._reads = asyncio.Semaphore(MAX_CONCURRENT_READS)

    async def ensure(self, tenants: Iterable[str]) -> None:
        """Recover those of the tenants that this run of Redis has not recovered yet. Raises StoreUnavailable."""
        run_id, missing = await self._counters.unrecovered_tenants(sorted(set(tenants)))
        await run_together(*(self._recover(run_id, tenant_id) for tenant_id in missing))

    async def _recover(self, run_id: str, tenant_id: str) -> None:
        async with self._reads:
            today = now().date()
            days = await self._archive.list_current_days(
                tenant_id, today - timedelta(days=REDIS_RETENTION_DAYS - 1), today, latest=LATE_DAYS
            )
            if await self._counters.recover(run_id, tenant_id, days, now()):
                log.warning("usage_recovered", tenant_id=tenant_id)
