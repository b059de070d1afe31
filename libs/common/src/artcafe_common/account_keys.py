"""The platform's signing key of each NATS account, from identity.

The broker's `user` of a connection is the client's id only if the platform issued the user. Users that an
organization issued with a signing key of its own choose it freely in CONNECT, so `issuer_key` decides.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime

import msgspec

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.client import Bus
from artcafe_common.clock import now
from artcafe_common.contracts.identity.accounts import BrokerAccount, FindAccount

MAX_CACHED_ACCOUNTS = 50_000
MAX_CONCURRENT_LOOKUPS = 50
ACCOUNT_DEADLINE_S = 2.0


class ConnectionIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker says of a connection: its account, who issued its user, and when it began."""

    account: str
    issuer: str
    connected_at: datetime


def client_id_of(user: str, *, issuer: str, account: BrokerAccount) -> str:
    """The client that a connection's `user` is; empty for the platform's own users and the organization's."""
    return user if issuer == account.platform_key and ULID_PATTERN.match(user) else ""


class _CachedAccount(msgspec.Struct, frozen=True, kw_only=True):
    account: BrokerAccount
    requested_at: datetime


class AccountKeyCache:
    """Caches identity's answers; they are requested again when a newer connection has an unknown issuer."""

    def __init__(self, bus: Bus, *, service: str) -> None:
        self._bus = bus
        self._caller = CallerContext.service(service)
        self._accounts: OrderedDict[str, _CachedAccount] = OrderedDict()
        self._requests: dict[str, asyncio.Task[BrokerAccount]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_LOOKUPS)

    def get_cached(self, connection: ConnectionIssuer) -> BrokerAccount | None:
        """The account of a connection; None if identity must be asked."""
        cached = self._accounts.get(connection.account)
        if cached is None:
            return None
        # An unknown issuer of a connection newer than the cached account may be a new platform key.
        if (
            connection.issuer != cached.account.platform_key
            and cached.requested_at <= connection.connected_at
        ):
            return None
        self._accounts.move_to_end(connection.account)
        return cached.account

    async def get(self, connection: ConnectionIssuer) -> BrokerAccount:
        """The account of a connection. Raises AccountMissing, and CommandError if identity does not answer."""
        if (cached := self.get_cached(connection)) is not None:
            return cached
        key = connection.account
        request = self._requests.get(key)
        if request is None:
            request = self._requests[key] = asyncio.create_task(self._fetch(key))
            request.add_done_callback(lambda _: self._requests.pop(key, None))
        return await asyncio.shield(request)

    async def _fetch(self, account: str) -> BrokerAccount:
        async with self._slots:
            requested_at = now()
            found = await self._bus.call(
                FindAccount(account=account), caller=self._caller, deadline_s=ACCOUNT_DEADLINE_S
            )
        self._accounts[account] = _CachedAccount(account=found, requested_at=requested_at)
        self._accounts.move_to_end(account)
        if len(self._accounts) > MAX_CACHED_ACCOUNTS:
            self._accounts.popitem(last=False)
        return found
