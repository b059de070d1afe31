"""identity's items in DynamoDB, and the count of new keys in Redis."""

import time

from boto3.dynamodb.conditions import Attr

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.identity.agents import ChallengeRateExceeded
from artcafe_common.contracts.identity.clients import KeyRateExceeded
from artcafe_common.storage.dynamo import ConditionFailed, Database
from artcafe_common.storage.rate_limiter import RateLimit, RateLimiter
from artcafe_common.storage.redis_client import RedisClient
from artcafe_identity.settings import Settings
from artcafe_identity.tables import ACCOUNTS, CHALLENGES, AccountItem, ChallengeItem

HOUR_S = 3600
DAY_S = 24 * HOUR_S


class Store:
    """Accounts by tenant or public key, challenges that work once."""

    def __init__(self, database: Database) -> None:
        self._accounts = database.table(ACCOUNTS)
        self._challenges = database.table(CHALLENGES)

    async def account_of(self, tenant_id: str) -> AccountItem | None:
        """The tenant's account."""
        return await self._accounts.get(_seed_id(tenant_id), consistent=True)

    async def find_account(self, account: str) -> AccountItem | None:
        """The account with this public key."""
        page = await self._accounts.query(account, index="AccountIndex", limit=1)
        return page.items[0] if page.items else None

    async def all_accounts(self) -> list[AccountItem]:
        """Every account: for bringing the broker up to date at start."""
        return await self._accounts.scan()

    async def add_account(self, item: AccountItem) -> bool:
        """Store a new account; False when the tenant has one."""
        return await self._try(item, new=True)

    async def replace_account(self, item: AccountItem) -> bool:
        """Store the next version of an account; False when another instance was faster."""
        return await self._try(item, new=False)

    async def _try(self, item: AccountItem, *, new: bool) -> bool:
        try:
            if new:
                await self._accounts.put(item, new=True)
            else:
                await self._accounts.put(item, condition=Attr("version").eq(item.version - 1))
        except ConditionFailed:
            return False
        return True

    async def add_challenge(self, challenge: str, subject_id: str, ttl_s: int) -> int:
        """Remember a challenge for its subject; when it expires, in Unix seconds."""
        expires_at = int(time.time()) + ttl_s
        await self._challenges.put(
            ChallengeItem(challenge=challenge, expires_at=expires_at, subject_id=subject_id), new=True
        )
        return expires_at

    async def use_challenge(self, challenge: str, subject_id: str) -> bool:
        """Use a challenge up; False unless it was given to this subject, is fresh and unused."""
        fresh = Attr("subject_id").eq(subject_id) & Attr("expires_at").gt(int(time.time()))
        try:
            await self._challenges.delete(challenge, condition=fresh)
        except ConditionFailed:
            return False
        return True

    async def remember_challenge(self, key: str, ttl_s: int) -> bool:
        """Note for a while that something was used; False when that is noted already."""
        now = int(time.time())
        free = Attr("challenge").not_exists() | Attr("expires_at").lte(now)
        try:
            await self._challenges.put(ChallengeItem(challenge=key, expires_at=now + ttl_s), condition=free)
        except ConditionFailed:
            return False
        return True


class Rates:
    """How many keys and challenges may still be made; shared by all instances."""

    def __init__(self, shared: RedisClient, settings: Settings) -> None:
        self._limiter = RateLimiter(shared)
        self._keys = RateLimit(limit=settings.keys_per_hour, period_s=HOUR_S)
        self._challenges = RateLimit(limit=settings.challenges_per_minute)

    async def new_key(self, tenant_id: str) -> None:
        """Count a new key; KeyRateExceeded, and StoreUnavailable rather than one that is not counted."""
        verdict = await self._limiter.acquire({f"keys:{tenant_id}": self._keys}, wait_for_recovery=True)
        if not verdict.allowed:
            raise KeyRateExceeded(retry_after_s=verdict.retry_after_s)

    async def new_challenge(self, agent_id: str, ip: str) -> None:
        """Count a new challenge; ChallengeRateExceeded. With Redis away there is no limit."""
        try:
            verdict = await self._limiter.acquire({f"challenges:{ip}:{agent_id}": self._challenges})
        except StoreUnavailable:
            return
        if not verdict.allowed:
            raise ChallengeRateExceeded(retry_after_s=verdict.retry_after_s)


def _seed_id(tenant_id: str) -> str:
    return f"account#{tenant_id}"
