"""Compares the stored accounts with the broker's, and pushes those that are missing or outdated there."""

import asyncio
import time

import structlog

from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_together
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.account_signing import AccountSigner
from artcafe_identity.broker_accounts import BrokerAccounts, is_rejection
from artcafe_identity.store import Store
from artcafe_identity.tables import AccountItem

# Between two comparisons of all accounts.
INTERVAL_S = 30
# How long the push of a changed account may be under way when accounts are compared.
PUSH_PAUSE_S = 0.5
MAX_CONCURRENT_PUSHES = 50
# While nothing differs, at most this share of a processor; 10,000 accounts then take two minutes.
PROCESSOR_SHARE = 0.04
MAX_PAUSE_S = 2.0
# Changed accounts that are compared in one call.
MAX_CHANGED = 100
log = structlog.get_logger()


class AccountReconciler:
    """Finds the accounts that differ at the broker.

    All are compared again and again, at a pace that leaves the processor to logins; changed ones soon after the change,
    whichever instance made it.
    """

    def __init__(
        self, *, store: Store, accounts: AccountRepository, broker: BrokerAccounts, signer: AccountSigner
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._index = accounts.index
        self._broker = broker
        self._signer = signer
        self._is_loaded = False
        self._due_at = 0.0
        # The versions whose JWTs are what this release signs, and with which key, by tenant id.
        self._current: dict[str, tuple[int, str]] = {}

    async def reconcile_when_due(self) -> None:
        """Reconcile some time after it last succeeded; at once when it has not. Raises ServiceUnavailable."""
        if time.monotonic() >= self._due_at:
            await self.reconcile()
            self._due_at = time.monotonic() + INTERVAL_S

    async def reconcile(self) -> None:
        """Compare every account, and push those that are missing or outdated. Raises ServiceUnavailable."""
        if not self._is_loaded:
            # What others need of every account should not wait for the broker.
            await self._load()
            self._is_loaded = True
        compared = await self.compare(push=True, paced=True)
        if any(compared.values()):
            log.info("accounts_reconciled", pushed=sum(compared.values()), known=len(compared))

    async def reconcile_changed(self) -> None:
        """Compare the accounts that any instance changed since the last call. Raises ServiceUnavailable."""
        for tenant_id in self._accounts.take_changed(MAX_CHANGED):
            item = await self._store.get_account(tenant_id)
            if item is None:
                self._index.forget(tenant_id)
                continue
            self._index.note(item)
            try:
                await self._compare_one(item, push=True)
            except CommandError as error:
                if not is_rejection(error):
                    raise

    async def compare(self, *, push: bool, paced: bool = False) -> dict[str, bool]:
        """Whether the broker's account differs, by tenant id; with `push`, differing accounts are updated.

        An account that the broker rejects differs, and keeps no other from being compared. Raises ServiceUnavailable
        after as many failures as there are workers: the broker does not answer.
        """
        began_at = time.monotonic()
        differ: dict[str, bool] = {}
        failures: list[CommandError] = []
        # Reading a page takes more of the processor than comparing it, and a part of that is done by other threads.
        busy_since = time.process_time()
        async for items in self._store.account_pages():
            page = await self._compare_page(items, failures, push=push)
            differ |= page
            if len(failures) >= MAX_CONCURRENT_PUSHES:
                break
            if paced and not any(page.values()):
                busy_s = time.process_time() - busy_since
                await asyncio.sleep(min(MAX_PAUSE_S, busy_s * (1 / PROCESSOR_SHARE - 1)))
            busy_since = time.process_time()
        if failures:
            raise failures[0]
        self._index.forget_older(began_at)
        self._current = {key: current for key, current in self._current.items() if key in differ}
        return differ

    async def _load(self) -> None:
        began_at = time.monotonic()
        async for items in self._store.account_pages():
            for item in items:
                self._index.note(item)
        self._index.forget_older(began_at)

    async def _compare_page(
        self, items: list[AccountItem], failures: list[CommandError], *, push: bool
    ) -> dict[str, bool]:
        differ: dict[str, bool] = {}
        waiting = iter(items)

        async def work() -> None:
            for item in waiting:
                self._index.note(item)
                try:
                    differ[item.tenant_id] = await self._compare_one(item, push=push)
                except CommandError as error:
                    if is_rejection(error):
                        differ[item.tenant_id] = True
                    else:
                        failures.append(error)
                if len(failures) >= MAX_CONCURRENT_PUSHES:
                    return

        await run_together(*(work() for _ in range(min(MAX_CONCURRENT_PUSHES, len(items)))))
        return differ

    async def _compare_one(self, item: AccountItem, *, push: bool) -> bool:
        if not self._is_current(item):
            if not push:
                return True
            signed = await self._accounts.sign_again(item)
            if signed is None:
                return False
            item = signed
        differs = await self._broker.differs(item)
        if differs and not push:
            return await self._still_differs(item.tenant_id)
        if differs and push:
            # The list was read before: pushing its version could bring back a key that was revoked since.
            newest = await self._store.get_account(item.tenant_id)
            if newest is not None:
                await self._accounts.push_newest(newest)
        return differs

    def _is_current(self, item: AccountItem) -> bool:
        current = item.version, self._signer.issuer
        if self._current.get(item.tenant_id) == current:
            return True
        if not self._signer.is_current(item):
            return False
        self._current[item.tenant_id] = current
        return True

    async def _still_differs(self, tenant_id: str) -> bool:
        """Compare the newest version: the account may have been changed since it was listed, and be on its way."""
        await asyncio.sleep(PUSH_PAUSE_S)
        newest = await self._store.get_account(tenant_id)
        return newest is not None and await self._broker.differs(newest)
