"""Ends the connections of suspended and deleted organizations, and refuses their clients until they are active again.

Tenancy decides. The state is stored with the account, so it survives restarts, and every instance knows it.
"""

import asyncio

import msgspec
import structlog

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.tenancy.accounts import AccountNotFound, GetAccount
from artcafe_common.contracts.tenancy.events import AccountStatusChanged
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.revocation import RECHECK_DELAY_S, ClientKicker

DEADLINE_S = 2.0
log = structlog.get_logger()


class SuspensionHandler:
    """Keeps each account's `suspended` and `deleted` equal to the status of its organization."""

    def __init__(self, *, bus: Bus, accounts: AccountRepository, clients: ClientKicker) -> None:
        self._bus = bus
        self._accounts = accounts
        self._clients = clients

    async def on_status_changed(self, event: AccountStatusChanged) -> None:
        """Apply the present status: events may arrive in another order. Idempotent; raises CommandError to be called again."""
        caller = msgspec.structs.replace(CallerContext.service("identity"), tenant_id=event.tenant_id)
        try:
            status = (await self._bus.call(GetAccount(), caller=caller, deadline_s=DEADLINE_S)).status
            item = await self._accounts.set_status(event.tenant_id, status)
        except (AccountNotFound, AccountMissing, Forbidden):
            return
        kicked = 0
        if item.is_blocked:
            kicked = await self._clients.kick_all(item)
            # A login may have been accepted just before.
            await asyncio.sleep(RECHECK_DELAY_S)
            kicked += await self._clients.kick_all(item)
        log.info("account_status_changed", tenant_id=event.tenant_id, status=status.value, kicked=kicked)
