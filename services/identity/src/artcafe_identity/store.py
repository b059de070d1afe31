"""identity's items in DynamoDB."""

import time

from boto3.dynamodb.conditions import Attr

from artcafe_common.storage.dynamo import ConditionFailed, Database
from artcafe_identity.tables import ACCOUNTS, CHALLENGES, AccountItem, ChallengeItem

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 24 * HOUR_S


class Store:
    """Accounts by tenant or public key, challenges that work once, and the count of new keys."""

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

    async def count_key(self, tenant_id: str, limit: int) -> int | None:
        """Count a new key of the tenant in this hour; seconds until the next hour when it is one too many."""
        return await self._count(f"keys#{tenant_id}", HOUR_S, limit)

    async def count_challenge(self, key: str, limit: int) -> int | None:
        """Count a new challenge in this minute; seconds until the next one when it is one too many."""
        return await self._count(f"challenges#{key}", MINUTE_S, limit)

    async def remember_challenge(self, key: str, ttl_s: int) -> bool:
        """Note for a while that something was used; False when that is noted already."""
        now = int(time.time())
        free = Attr("challenge").not_exists() | Attr("expires_at").lte(now)
        try:
            await self._challenges.put(ChallengeItem(challenge=key, expires_at=now + ttl_s), condition=free)
        except ConditionFailed:
            return False
        return True

    async def _count(self, key: str, period_s: int, limit: int) -> int | None:
        now = int(time.time())
        period = now // period_s
        try:
            await self._challenges.update(
                f"{key}#{period}",
                set_={"expires_at": (period + 2) * period_s},
                add={"count": 1},
                condition=Attr("count").not_exists() | Attr("count").lt(limit),
            )
        except ConditionFailed:
            return (period + 1) * period_s - now
        return None


def _seed_id(tenant_id: str) -> str:
    return f"account#{tenant_id}"
