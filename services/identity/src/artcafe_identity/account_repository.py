"""The NATS accounts of tenants: stored in DynamoDB and pushed to the broker."""

import asyncio
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.claims import encode, issuer_of
from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.installation.platform_keys import PlatformKeys
from artcafe_common.plans import Plan
from artcafe_identity.seed_cipher import SeedCipher
from artcafe_identity.store import Store
from artcafe_identity.tables import AccountItem
from artcafe_identity.tenant_claims import tenant_account_claims

PUSH_TIMEOUT_S = 3
MAX_CONCURRENT_PUSHES = 50
log = structlog.get_logger()


class SigningAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's account with the platform's decrypted signing key."""

    item: AccountItem
    signing_key: KeyPair


class AccountRepository:
    """Creates, updates and reconciles accounts.

    Several instances may run: every write is conditional on the stored version.
    """

    def __init__(
        self, *, store: Store, system: Nats, operator: KeyPair, platform: PlatformKeys, cipher: SeedCipher
    ) -> None:
        self._store = store
        self._system = system
        self._operator = operator
        self._platform = platform
        self._cipher = cipher
        self._signing_accounts: Cache[str, SigningAccount] = Cache(size=10_000, age_s=300)

    async def ensure(self, tenant_id: str, plan: Plan) -> AccountItem:
        """Create or update the tenant's account with the plan's limits, and push it to the broker."""
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                wanted = self._build(tenant_id, plan)
                stored = await self._store.create_account(wanted)
            elif item.plan != plan:
                wanted = self._sign(msgspec.structs.replace(item, plan=plan, version=item.version + 1))
                stored = await self._store.replace_account(wanted)
            else:
                wanted, stored = item, True
            if stored:
                self._signing_accounts.invalidate(tenant_id)
                await self.push(wanted.jwt)
                return wanted

    async def replace_tenant_key(self, tenant_id: str, public: str) -> AccountItem:
        """Replace the tenant's own signing key. Raises AccountMissing.

        The broker closes the connections of users that the previous key signed.
        """
        while True:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            changed = self._sign(
                msgspec.structs.replace(item, tenant_keys=[public], version=item.version + 1)
            )
            if await self._store.replace_account(changed):
                self._signing_accounts.invalidate(tenant_id)
                await self.push(changed.jwt)
                return changed

    async def get_signing_account(self, tenant_id: str) -> SigningAccount:
        """The tenant's account with its signing key, cached. Raises AccountMissing."""

        async def load() -> SigningAccount:
            item = await self._store.get_account(tenant_id)
            if item is None:
                raise AccountMissing
            seed = self._cipher.decrypt(item.sealed_seed, tenant_id=tenant_id, public=item.platform_key)
            return SigningAccount(item=item, signing_key=KeyPair(seed))

        return await self._signing_accounts.get(tenant_id, load)

    async def push(self, jwt: str) -> None:
        """Push an account JWT to the broker. Raises ServiceUnavailable when the broker does not accept it."""
        try:
            response = await self._system.request(
                "$SYS.REQ.CLAIMS.UPDATE", jwt.encode(), timeout=PUSH_TIMEOUT_S
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker cannot accept account updates now") from error
        if b'"code":200' not in response.data:
            log.error("account_rejected", response=response.data.decode(errors="replace"))
            raise ServiceUnavailable("the broker rejected the account")

    async def reconcile(self) -> None:
        """Push every account that is missing or outdated at the broker."""
        compared = await self.compare(push=True)
        if any(compared.values()):
            log.info("accounts_reconciled", pushed=sum(compared.values()), known=len(compared))

    async def compare(self, *, push: bool) -> dict[str, bool]:
        """Whether the broker's account differs, by tenant id; with `push`, differing accounts are updated."""
        semaphore = asyncio.Semaphore(MAX_CONCURRENT_PUSHES)

        async def compare_one(item: AccountItem) -> bool:
            async with semaphore:
                return await self._compare_one(item, push=push)

        items = await self._store.list_accounts()
        differ = await asyncio.gather(*(compare_one(item) for item in items))
        return dict(zip((item.tenant_id for item in items), differ, strict=True))

    async def _compare_one(self, item: AccountItem, *, push: bool) -> bool:
        if issuer_of(item.jwt) != self._operator.public:
            if not push:
                return True
            # The installation has a new operator key, so the stored JWT is no longer valid.
            changed = self._sign(msgspec.structs.replace(item, version=item.version + 1))
            if not await self._store.replace_account(changed):
                return False
            item = changed
        try:
            current = await self._system.request(
                f"$SYS.REQ.ACCOUNT.{item.account}.CLAIMS.LOOKUP", b"", timeout=PUSH_TIMEOUT_S
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the broker cannot look up accounts now") from error
        if current.data.decode(errors="replace") == item.jwt:
            return False
        if push:
            await self.push(item.jwt)
        return True

    def _build(self, tenant_id: str, plan: Plan) -> AccountItem:
        account, signing_key = create_key_pair(KeyKind.ACCOUNT), create_key_pair(KeyKind.ACCOUNT)
        return self._sign(
            AccountItem(
                seed_id=f"account#{tenant_id}",
                tenant_id=tenant_id,
                account=account.public,
                platform_key=signing_key.public,
                sealed_seed=self._cipher.encrypt(
                    signing_key.seed, tenant_id=tenant_id, public=signing_key.public
                ),
                plan=plan,
                tenant_keys=[],
                jwt="",
                version=1,
            )
        )

    def _sign(self, item: AccountItem) -> AccountItem:
        claims = tenant_account_claims(
            tenant_id=item.tenant_id,
            account=item.account,
            platform_account=self._platform.platform_account,
            plan=item.plan,
            signing_keys=[item.platform_key, *item.tenant_keys],
        )
        # The broker's events carry the account's name, so it is the tenant's id.
        jwt = encode(
            claims,
            issuer=self._operator,
            subject=item.account,
            name=item.tenant_id,
            issued_at=int(time.time()),
        )
        return msgspec.structs.replace(item, jwt=jwt)
