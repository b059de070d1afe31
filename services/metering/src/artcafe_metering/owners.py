"""The owner of a connection's traffic: a client, the tenant's own NATS user, or a gateway's bridge."""

from collections import OrderedDict
from datetime import datetime

import msgspec

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import now
from artcafe_common.contracts.identity.accounts import AccountMissing, FindAccount
from artcafe_metering.connections import ConnectionSnapshot

MAX_CACHED_ACCOUNTS = 10_000
ACCOUNT_DEADLINE_S = 2.0


class ConnectionOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose usage a connection's traffic is; a bridge's traffic is counted by its gateway instead."""

    client_id: str = ""
    bridge: bool = False


class _CachedAccount(msgspec.Struct, frozen=True, kw_only=True):
    platform_key: str
    requested_at: datetime


class OwnerResolver:
    """Finds the owners of connections, with a cache of identity's accounts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._accounts: OrderedDict[str, _CachedAccount] = OrderedDict()

    async def resolve(self, snapshots: list[ConnectionSnapshot]) -> dict[str, ConnectionOwner | None]:
        """The owners by connection key; a connection is left out while its owner cannot be determined.

        The value is None for connections of deleted accounts and for the platform's own work.
        """
        owners: dict[str, ConnectionOwner | None] = {}
        deleted: set[str] = set()
        identity_answers = True
        for snapshot in snapshots:
            if ULID_PATTERN.match(snapshot.user):
                owners[snapshot.key] = ConnectionOwner(client_id=snapshot.user)
                continue
            account = self._find_cached(snapshot)
            if account is None and identity_answers and snapshot.account not in deleted:
                try:
                    account = await self._fetch_account(snapshot.account)
                except AccountMissing:
                    deleted.add(snapshot.account)
                except CommandError:
                    identity_answers = False  # wait for one timeout per call, not one per account
            if snapshot.account in deleted:
                owners[snapshot.key] = None
            elif account is not None:
                bridge = snapshot.issuer == account.platform_key
                is_platform_work = bridge and snapshot.name == PLATFORM_CONNECTION_NAME
                owners[snapshot.key] = None if is_platform_work else ConnectionOwner(bridge=bridge)
        return owners

    def _find_cached(self, snapshot: ConnectionSnapshot) -> _CachedAccount | None:
        account = self._accounts.get(snapshot.account)
        if account is None:
            return None
        # An unknown issuer of a connection newer than the cached account may be a new platform key.
        if snapshot.issuer != account.platform_key and account.requested_at <= snapshot.start:
            return None
        self._accounts.move_to_end(snapshot.account)
        return account

    async def _fetch_account(self, account: str) -> _CachedAccount:
        requested_at = now()
        found = await self._bus.call(
            FindAccount(account=account),
            caller=CallerContext.service("metering"),
            deadline_s=ACCOUNT_DEADLINE_S,
        )
        cached = _CachedAccount(platform_key=found.platform_key, requested_at=requested_at)
        self._accounts[account] = cached
        self._accounts.move_to_end(account)
        if len(self._accounts) > MAX_CACHED_ACCOUNTS:
            self._accounts.popitem(last=False)
        return cached
