"""The tenants' NATS accounts: kept in the store, in step with the broker, opened for signing."""

import asyncio
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.bootstrap import PlatformKeys
from artcafe_common.broker.claims import encode, issuer_of
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.plans import Plan
from artcafe_identity.seed_cipher import Sealer
from artcafe_identity.store import Store
from artcafe_identity.tables import AccountItem
from artcafe_identity.tenant_claims import tenant_account

PUSH_TIMEOUT_S = 3
PUSHES_AT_ONCE = 50
log = structlog.get_logger()


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account with the platform's signing key in it, ready to sign."""

    item: AccountItem
    signing: KeyPair


class AccountRepository:
    """Makes, changes and opens accounts; safe with several instances (every write is versioned)."""

    def __init__(
        self, *, store: Store, system: Nats, operator: KeyPair, platform: PlatformKeys, sealer: Sealer
    ) -> None:
        self._store = store
        self._system = system
        self._operator = operator
        self._platform = platform
        self._sealer = sealer
        self._open: Cache[str, OpenAccount] = Cache(size=10_000, age_s=300)

    async def ensure(self, tenant_id: str, plan: Plan) -> AccountItem:
        """The tenant's account with this plan's limits, made or changed as needed, in the broker."""
        while True:
            item = await self._store.account_of(tenant_id)
            if item is None:
                wanted = self._new(tenant_id, plan)
                stored = await self._store.add_account(wanted)
            elif item.plan != plan:
                wanted = self._signed(msgspec.structs.replace(item, plan=plan, version=item.version + 1))
                stored = await self._store.replace_account(wanted)
            else:
                wanted, stored = item, True
            if stored:
                self._open.invalidate(tenant_id)
                await self.push(wanted.jwt)
                return wanted

    async def set_tenant_key(self, tenant_id: str, public: str) -> AccountItem:
        """Make `public` the one signing key that the tenant holds; the broker cuts the old one's users."""
        while True:
            item = await self._store.account_of(tenant_id)
            if item is None:
                raise AccountMissing
            changed = self._signed(
                msgspec.structs.replace(item, tenant_keys=[public], version=item.version + 1)
            )
            if await self._store.replace_account(changed):
                self._open.invalidate(tenant_id)
                await self.push(changed.jwt)
                return changed

    async def open(self, tenant_id: str) -> OpenAccount:
        """The tenant's account, ready to sign users; AccountMissing when it has none."""

        async def load() -> OpenAccount:
            item = await self._store.account_of(tenant_id)
            if item is None:
                raise AccountMissing
            seed = self._sealer.open(item.sealed_seed, tenant_id=tenant_id, public=item.platform_key)
            return OpenAccount(item=item, signing=KeyPair(seed))

        return await self._open.get(tenant_id, load)

    async def push(self, jwt: str) -> None:
        """Give the broker an account JWT; ServiceUnavailable when it does not take it."""
        try:
            answer = await self._system.request(
                "$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), timeout=PUSH_TIMEOUT_S
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker does not take accounts now") from error
        if b'"code":200' not in answer.data:
            log.error("account_refused", answer=answer.data.decode(errors="replace"))
            raise ServiceUnavailable("the broker refused the account")

    async def reconcile(self) -> None:
        """Push every account that the broker lacks or holds in another version."""
        compared = await self.compare(push=True)
        if any(compared.values()):
            log.info("accounts_reconciled", pushed=sum(compared.values()), known=len(compared))

    async def compare(self, *, push: bool) -> dict[str, bool]:
        """For each tenant with an account, whether the broker's differs; with `push` no more of them do."""
        slots = asyncio.Semaphore(PUSHES_AT_ONCE)

        async def one(item: AccountItem) -> bool:
            async with slots:
                return await self._compare_one(item, push=push)

        items = await self._store.all_accounts()
        differ = await asyncio.gather(*(one(item) for item in items))
        return dict(zip((item.tenant_id for item in items), differ, strict=True))

    async def _compare_one(self, item: AccountItem, *, push: bool) -> bool:
        if issuer_of(item.jwt) != self._operator.public:
            if not push:
                return True
            # The installation has a new operator key: what the old one signed is void.
            changed = self._signed(msgspec.structs.replace(item, version=item.version + 1))
            if not await self._store.replace_account(changed):
                return False
            item = changed
        try:
            held = await self._system.request(
                f"$SYS.REQ.ACCOUNT.{item.account}.CLAIMS.LOOKUP", b"", timeout=PUSH_TIMEOUT_S
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker does not tell its accounts now") from error
        if held.data.decode(errors="replace") == item.jwt:
            return False
        if push:
            await self.push(item.jwt)
        return True

    def _new(self, tenant_id: str, plan: Plan) -> AccountItem:
        account, signing = create(KeyKind.ACCOUNT), create(KeyKind.ACCOUNT)
        return self._signed(
            AccountItem(
                seed_id=f"account#{tenant_id}",
                tenant_id=tenant_id,
                account=account.public,
                platform_key=signing.public,
                sealed_seed=self._sealer.seal(signing.seed, tenant_id=tenant_id, public=signing.public),
                plan=plan,
                tenant_keys=[],
                jwt="",
                version=1,
            )
        )

    def _signed(self, item: AccountItem) -> AccountItem:
        claims = tenant_account(
            tenant_id=item.tenant_id,
            account=item.account,
            platform_account=self._platform.platform_account,
            plan=item.plan,
            signing_keys=[item.platform_key, *item.tenant_keys],
        )
        # The account's name is the tenant's id: the broker's events carry it.
        jwt = encode(
            claims,
            issuer=self._operator,
            subject=item.account,
            name=item.tenant_id,
            issued_at=int(time.time()),
        )
        return msgspec.structs.replace(item, jwt=jwt)
