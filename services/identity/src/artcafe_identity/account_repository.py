"""The NATS accounts of tenants: stored in DynamoDB and pushed to the broker."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
import structlog

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError, ServiceUnavailable
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.accounts import (
    AccountMissing,
    AccountUpdated,
    SealedSeeds,
    SigningKey,
)
from artcafe_common.contracts.identity.clients import AccountDeleted, AccountSuspended
from artcafe_common.contracts.tenancy.accounts import AccountStatus
from artcafe_common.plans import Plan
from artcafe_identity.account_index import AccountIndex
from artcafe_identity.account_signing import AccountSigner, SigningAccount
from artcafe_identity.broker_accounts import BrokerAccounts
from artcafe_identity.store import Store
from artcafe_identity.tables import AccountItem, OwnStreams

MAX_OWN_ROOTS = 100
# Accounts whose seeds one command encrypts again.
MAX_SEALED = 200
# How long a command waits for the broker after its change is stored; less than the rest of its deadline.
PUBLISH_WAIT_S = 1.5
_PUBLISH_FAILURES = (CommandError, nats.errors.Error, OSError, TimeoutError)
log = structlog.get_logger()


class AccountRepository:
    """Creates and updates accounts.

    Several instances may run: every write is conditional on the stored version.
    """

    def __init__(self, *, store: Store, broker: BrokerAccounts, bus: Bus, signer: AccountSigner) -> None:
        self._store = store
        self._broker = broker
        self._bus = bus
        self._signer = signer
        self.index = AccountIndex()
        # Called with the key of each clients' account that is created.
        self.on_created: list[Callable[[str], Awaitable[None]]] = []
        # The tenants whose stored account could not be published.
        self._postponed: set[str] = set()
        # The tenants whose account any instance changed.
        self._changed: set[str] = set()
        self._signing_accounts: Cache[str, SigningAccount] = Cache(size=10_000, age_s=300)

    async def ensure(self, tenant_id: str, plan: Plan) -> AccountItem:
        """Create or update the tenant's account with the plan's limits, and push it to the broker."""
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                wanted = self._signer.build(tenant_id, plan)
                stored = await self._store.create_account(wanted)
            elif item.plan != plan or item.streams is None:
                wanted = self._signer.sign(msgspec.structs.replace(item, plan=plan, version=item.version + 1))
                stored = await self._store.replace_account(wanted)
            else:
                wanted, stored = item, True
            if stored:
                await self._publish(wanted)
                return wanted

    async def change_tenant_keys(
        self, tenant_id: str, change: Callable[[list[SigningKey]], Awaitable[list[SigningKey]]]
    ) -> None:
        """Replace the tenant's own signing keys by those that `change` returns. Raises AccountMissing.

        `change` is called again with the current keys if the account was changed meanwhile, also by a call
        that changed no key. The broker closes the connections of users that a removed key signed.
        """
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            keys = await change(item.signing_keys)
            changed = msgspec.structs.replace(item, tenant_keys=keys, version=item.version + 1)
            if keys != item.signing_keys:
                changed = self._signer.sign(changed)
            if await self._store.replace_account(changed):
                await self._publish_or_postpone(changed)
                return

    async def set_quota_exhausted(self, tenant_id: str, until: int) -> tuple[AccountItem, bool]:
        """Store until when clients may not publish (0: they may), and whether that changed. Raises AccountMissing.

        While they may not, the broker also closes the connections of users that the tenant's keys signed.
        """
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            if item.quota_exhausted_until == until:
                self.index.note(item)
                await self._broker.push(item.jwt)
                return item, False
            changed = self._signer.sign(
                msgspec.structs.replace(item, quota_exhausted_until=until, version=item.version + 1)
            )
            if await self._store.replace_account(changed):
                self.index.note(changed)
                await self._publish(changed)
                return changed, True

    async def set_status(self, tenant_id: str, status: AccountStatus) -> AccountItem:
        """Store and push whether the tenant's clients may connect at all. Raises AccountMissing.

        While they may not, the broker also closes the connections of users that the tenant's keys signed.
        """
        blocked = {
            "suspended": status is AccountStatus.SUSPENDED,
            "deleted": status is AccountStatus.DELETED,
        }
        item = await self._change(tenant_id, lambda item: msgspec.structs.replace(item, **blocked))
        # An earlier attempt may have stored it, but not have reached the broker.
        await self._broker.push(item.jwt)
        return item

    async def get_tenant_keys(self, tenant_id: str) -> list[SigningKey]:
        """The tenant's own signing keys. Raises AccountMissing."""
        item = await self._store.get_account(tenant_id)
        if item is None:
            raise AccountMissing
        return item.signing_keys

    async def mark_streams_moved(self, tenant_id: str) -> AccountItem:
        """Record that the clients' account has none of the platform's streams any more."""
        return await self._change(tenant_id, lambda item: msgspec.structs.replace(item, streams_moved=True))

    async def set_own_streams(self, tenant_id: str, state: OwnStreams, *, until: int = 0) -> AccountItem:
        """Record where the streams are that the tenant's clients keep, and until when this instance moves them.

        Streams that were moved stay so.
        """

        def change(item: AccountItem) -> AccountItem:
            if item.own_streams is OwnStreams.MOVED:
                return item
            return msgspec.structs.replace(item, own_streams=state, own_move_until=until)

        return await self._change(tenant_id, change)

    async def set_own_replicas(self, tenant_id: str, replicas: int) -> None:
        """Record the number of replicas that the tenant's own streams were given."""
        await self._change(tenant_id, lambda item: msgspec.structs.replace(item, own_replicas=replicas))

    async def enable_own_streams(self, tenant_id: str) -> None:
        """Let clients create streams, unless they may. Raises AccountMissing."""
        await self._change(tenant_id, lambda item: msgspec.structs.replace(item, own_enabled=True))

    async def add_own_roots(
        self, tenant_id: str, roots: set[str], find_used: Callable[[], Awaitable[set[str]]]
    ) -> bool:
        """Let own streams store subjects that begin with these tokens; False when that would be too many.

        The account of these streams is created if there is none. `find_used` returns the tokens that streams use;
        it is called when others have to be removed.
        """
        used: set[str] | None = None
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            if item.own is not None and roots <= set(item.own_roots):
                return True
            wanted = roots | set(item.own_roots)
            if len(wanted) > MAX_OWN_ROOTS:
                used = await find_used() if used is None else used
                wanted = roots | used
            if len(wanted) > MAX_OWN_ROOTS:
                return False
            changed = msgspec.structs.replace(item, own_roots=sorted(wanted), version=item.version + 1)
            changed = self._signer.sign(changed, create_own=True)
            if await self._store.replace_account(changed):
                await self._publish(changed)
                return True

    async def _change(self, tenant_id: str, change: Callable[[AccountItem], AccountItem]) -> AccountItem:
        """Store and push what `change` makes of the item, unless it stays the same. Raises AccountMissing."""
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            changed = change(item)
            if changed == item:
                return item
            changed = self._signer.sign(msgspec.structs.replace(changed, version=item.version + 1))
            if await self._store.replace_account(changed):
                await self._publish(changed)
                return changed

    async def get_signing_account(self, tenant_id: str) -> SigningAccount:
        """The tenant's account with its signing key, cached. Raises AccountMissing."""

        async def load() -> SigningAccount:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            streams, own = item.streams, item.own
            if streams is None:
                # Reconciliation creates it.
                raise ServiceUnavailable("the organization's account is being upgraded")
            return SigningAccount(
                item=item,
                signing_key=self._signer.decrypt(tenant_id, item.platform_key, item.sealed_seed),
                streams_account=streams.account,
                streams_key=self._signer.decrypt(tenant_id, streams.platform_key, streams.sealed_seed),
                own_account=None if own is None else own.account,
                own_key=None
                if own is None
                else self._signer.decrypt(tenant_id, own.platform_key, own.sealed_seed),
            )

        return await self._signing_accounts.get(tenant_id, load)

    async def get_active_account(self, tenant_id: str) -> SigningAccount:
        """The same, for a client that wants to connect. Raises AccountMissing, AccountSuspended, AccountDeleted."""
        account = await self.get_signing_account(tenant_id)
        if account.item.suspended:
            raise AccountSuspended
        if account.item.deleted:
            raise AccountDeleted
        return account

    async def delete(self, item: AccountItem) -> None:
        """Empty a tenant's accounts at the broker (see `sign_empty`), and remove them here. Idempotent."""
        empty = self._signer.sign_empty(item)
        for jwt in empty:
            await self._broker.push(jwt)
        await self._store.delete_account(item)
        self._signing_accounts.invalidate(item.tenant_id)
        self.index.forget(item.tenant_id)
        await self._bus.notify(AccountUpdated(tenant_id=item.tenant_id))
        # A comparison may have pushed them again before they were removed here.
        for jwt in empty:
            await self._broker.push(jwt)

    async def seal_seeds(self) -> SealedSeeds:
        """Encrypt the seeds of some accounts with the present sealing key. Idempotent."""
        items = await self._store.list_accounts()
        outdated = [item for item in items if self._signer.seal(item) is not item]
        encrypted = 0
        for item in outdated[:MAX_SEALED]:
            sealed = self._signer.seal(msgspec.structs.replace(item, version=item.version + 1))
            # False: the account was changed meanwhile, and remains.
            if await self._store.replace_account(sealed):
                self._signing_accounts.invalidate(item.tenant_id)
                encrypted += 1
        return SealedSeeds(encrypted=encrypted, remaining=len(outdated) - encrypted)

    async def on_updated(self, signal: AccountUpdated) -> None:
        """Drop the cached account that another instance changed."""
        self._signing_accounts.invalidate(signal.tenant_id)
        self._changed.add(signal.tenant_id)

    def clear_cache(self) -> None:
        """Drop all cached accounts, because their changes may have been missed."""
        self._signing_accounts.clear()

    async def _publish(self, item: AccountItem) -> None:
        """Push a stored account, and have every instance read it again."""
        self._signing_accounts.invalidate(item.tenant_id)
        is_new = item.tenant_id not in self.index.clients_accounts
        self.index.note(item)
        if is_new:
            for callback in self.on_created:
                await callback(item.account)
        await self._bus.notify(AccountUpdated(tenant_id=item.tenant_id))
        await self.push_newest(item)

    async def _publish_or_postpone(self, item: AccountItem) -> None:
        """Publish a stored account within a moment, or else by `publish_postponed`: what is stored must not fail."""
        try:
            async with asyncio.timeout(PUBLISH_WAIT_S):
                await self._publish(item)
        except _PUBLISH_FAILURES as error:
            log.warning("account_push_postponed", tenant_id=item.tenant_id, reason=repr(error))
            self._postponed.add(item.tenant_id)

    async def publish_postponed(self) -> None:
        """Publish the stored accounts that could not be published before."""
        for tenant_id in tuple(self._postponed):
            # First, so that a change that fails meanwhile stays postponed.
            self._postponed.discard(tenant_id)
            item = await self._store.get_account(tenant_id)
            if item is not None:
                await self._publish_or_postpone(item)

    async def push_newest(self, item: AccountItem) -> None:
        """Push a stored account; again if it was changed meanwhile, because that change may have been pushed before."""
        while True:
            await self._broker.push_all(item)
            stored = await self._store.get_account(item.tenant_id)
            if stored is None or stored.version <= item.version:
                return
            item = stored

    async def sign_again(self, item: AccountItem) -> AccountItem | None:
        """Store an account with the JWTs that this release signs; None if it was changed meanwhile."""
        changed = self._signer.sign(msgspec.structs.replace(item, version=item.version + 1))
        if not await self._store.replace_account(changed):
            return None
        self._signing_accounts.invalidate(item.tenant_id)
        return changed

    def take_changed(self, limit: int) -> list[str]:
        """Some tenants whose accounts any instance changed since the last call."""
        return [self._changed.pop() for _ in range(min(limit, len(self._changed)))]
