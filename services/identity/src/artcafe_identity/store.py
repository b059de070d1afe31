"""DynamoDB access to accounts and challenges."""

import time
from collections.abc import AsyncIterator

from boto3.dynamodb.conditions import Attr

from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_common.storage.table import Table
from artcafe_common.storage.tables import TableSpec
from artcafe_identity.tables import ACCOUNTS, CHALLENGES, AccountItem, AccountOwner, ChallengeItem

# Accounts of one page; each has some KiB.
ACCOUNTS_PAGE = 100


class Store:
    """Reads and writes the tables of identity."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accounts = Table(database, ACCOUNTS)
        self._challenges = Table(database, CHALLENGES)
        # Not in the table of the accounts, which earlier releases read as a whole.
        self._owners = Table(
            database, TableSpec(name=CHALLENGES.name, item=AccountOwner, partition=CHALLENGES.partition)
        )

    async def get_account(self, tenant_id: str) -> AccountItem | None:
        """The tenant's account (strongly consistent)."""
        return await self._accounts.get(_seed_id(tenant_id), consistent=True)

    async def find_account_by_key(self, account: str) -> AccountItem | None:
        """The account with this public key (strongly consistent)."""
        owner = await self._owners.get(_owner_key(account), consistent=True)
        if owner is not None:
            return await self.get_account(owner.tenant_id)
        # Accounts of earlier releases are in the index alone.
        page = await self._accounts.query(account, index="AccountIndex", limit=1)
        return page.items[0] if page.items else None

    async def list_accounts(self) -> list[AccountItem]:
        """Every account. For operators only."""
        return await self._accounts.scan()

    async def account_pages(self) -> AsyncIterator[list[AccountItem]]:
        """Every account, some at a time, to reconcile the broker."""
        position = None
        while True:
            page = await self._accounts.scan_page(limit=ACCOUNTS_PAGE, position=position)
            yield page.items
            position = page.position
            if position is None:
                return

    async def create_account(self, item: AccountItem) -> bool:
        """Store a new account; False when the tenant already has one."""
        owner = AccountOwner(challenge=_owner_key(item.account), tenant_id=item.tenant_id)
        try:
            await self._database.transact_write(
                [self._accounts.build_put(item, new=True), self._owners.build_put(owner)]
            )
        except TransactionFailed:
            return False
        return True

    async def replace_account(self, item: AccountItem) -> bool:
        """Store the next version of an account; False on a version conflict."""
        replace = self._accounts.build_put(item, condition=Attr("version").eq(item.version - 1))
        try:
            await self._database.write(replace, once=True)
        except ConditionFailed:
            return False
        return True

    async def delete_account(self, item: AccountItem) -> None:
        """Remove an account and its lookup. Idempotent."""
        await self._database.transact_write(
            [self._accounts.build_delete(item.seed_id), self._owners.build_delete(_owner_key(item.account))]
        )

    async def create_challenge(self, challenge: str, subject_id: str, ttl_s: int) -> int:
        """Store a challenge for its subject; returns the expiry in Unix seconds."""
        expires_at = int(time.time()) + ttl_s
        # Random, so that no other can be there.
        await self._challenges.put(
            ChallengeItem(challenge=challenge, expires_at=expires_at, subject_id=subject_id)
        )
        return expires_at

    async def consume_challenge(self, challenge: str, subject_id: str) -> bool:
        """Delete a challenge; False unless it was issued to this subject, is unused and has not expired."""
        valid = Attr("subject_id").eq(subject_id) & Attr("expires_at").gt(int(time.time()))
        try:
            await self._database.write(self._challenges.build_delete(challenge, condition=valid), once=True)
        except ConditionFailed:
            return False
        return True

    async def record_used_challenge(self, key: str, ttl_s: int) -> bool:
        """Store the key of a used challenge for `ttl_s`; False when it is already stored."""
        now = int(time.time())
        unused = Attr("challenge").not_exists() | Attr("expires_at").lte(now)
        item = ChallengeItem(challenge=key, expires_at=now + ttl_s)
        try:
            await self._database.write(self._challenges.build_put(item, condition=unused), once=True)
        except ConditionFailed:
            return False
        return True


def _owner_key(account: str) -> str:
    return f"account#{account}"


def _seed_id(tenant_id: str) -> str:
    return f"account#{tenant_id}"
