"""Refuses direct publishing by organizations that have used up their month's messages.

Metering decides, and says so when an organization reaches its quota. The state is stored with the account, so it
survives restarts and every instance knows it. While it lasts:

- clients connect with no right to publish but their own heartbeats, status and metrics, which are not billed;
- the organization's signing keys are not in its account, because their users have any rights they were issued with.

It ends with the month, or with a change to a plan with more messages.
"""

import time
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

import msgspec
import structlog

from artcafe_common.broker.claims import Permission, UserClaims
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.metering import GetCurrentUsage, QuotaCrossed
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, GetAccount
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.grants import own_reports
from artcafe_common.plans import LIMITS, Plan
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.revocation import ClientKicker

FULL_PERCENT = 100
DEADLINE_S = 2.0
log = structlog.get_logger()


def reports_only(claims: UserClaims, tenant_id: str, client_id: str) -> UserClaims:
    """The claims of a client of an organization without messages left: it may publish only its own reports."""
    return msgspec.structs.replace(claims, pub=Permission(allow=own_reports(tenant_id, client_id)), resp=None)


class MessageQuota:
    """Keeps each account's `quota_exhausted_until` equal to what metering and the plan say."""

    def __init__(self, *, bus: Bus, accounts: AccountRepository, clients: ClientKicker) -> None:
        self._bus = bus
        self._accounts = accounts
        self._clients = clients

    async def on_quota_crossed(self, event: QuotaCrossed) -> None:
        """Stop publishing at 100 percent. Idempotent; raises CommandError to be called again."""
        if event.percent >= FULL_PERCENT:
            # Also when it is stored already: the connections may not have been ended then.
            await self.refresh(event.tenant_id, reconnect=True)

    async def on_plan_changed(self, event: PlanChanged) -> None:
        """Give the account the plan's limits, and compare the month's messages with them.

        Idempotent; raises CommandError to be called again. The plan is read rather than taken from the event, and again
        afterwards, because events of two changes are handled in any order.
        """
        applied = None
        while (plan := await self._read_plan(event.tenant_id)) not in (None, applied):
            await self._accounts.ensure(event.tenant_id, plan)
            applied = plan
        await self.refresh(event.tenant_id)

    async def lift_expired(self) -> None:
        """Let organizations publish again whose month has ended."""
        for tenant_id, until in tuple(self._accounts.index.exhausted_until.items()):
            if until <= time.time():
                await self.refresh(tenant_id)

    async def refresh(self, tenant_id: str, *, reconnect: bool = False) -> None:
        """Store what applies now; when it changes, or with `reconnect`, clients connect again with their rights."""
        until = await self._exhausted_until(tenant_id)
        try:
            item, changed = await self._accounts.set_quota_exhausted(tenant_id, until)
        except AccountMissing:
            return
        if changed or reconnect:
            kicked = await self._clients.kick_all(item)
            log.info("quota_state_changed", tenant_id=tenant_id, exhausted=until > 0, kicked=kicked)

    async def _exhausted_until(self, tenant_id: str) -> int:
        # In Unix seconds; 0 while messages are left.
        plan = await self._read_plan(tenant_id)
        limit = None if plan is None else LIMITS[plan].messages_per_month
        if plan is None or limit is None:
            return 0
        usage = await self._bus.call(
            GetCurrentUsage(plan=plan), caller=_caller(tenant_id), deadline_s=DEADLINE_S
        )
        if usage.messages.used < limit:
            return 0
        month_end = datetime.combine(usage.period_end + timedelta(days=1), time_of_day(), UTC)
        return int(month_end.timestamp())

    async def _read_plan(self, tenant_id: str) -> Plan | None:
        """The plan of a tenant; None if the tenant does not exist."""
        try:
            account = await self._bus.call(GetAccount(), caller=_caller(tenant_id), deadline_s=DEADLINE_S)
        except (AccountNotFound, Forbidden):
            return None
        return account.plan


def _caller(tenant_id: str) -> CallerContext:
    return msgspec.structs.replace(CallerContext.service("identity"), tenant_id=tenant_id)
