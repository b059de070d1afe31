"""Identity's connections into the accounts of streams, over which it forwards clients' calls."""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path

import msgspec
from nats.aio.client import Client as Nats

from artcafe_common.cache import Cache
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_identity.account_connections import close_quietly, connect_to_account
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.store import Store
from artcafe_identity.tenant_claims import stream_api_user_claims

MAX_CONNECTIONS = 100
IDLE_S = 30


class StreamsConnection(msgspec.Struct, kw_only=True):
    """A connection into an account of a tenant's streams."""

    nc: Nats
    tenant_id: str
    used_at: float


class StreamConnections:
    """Opens connections when they are needed, and closes those that are not used."""

    def __init__(
        self, *, store: Store, accounts: AccountRepository, nats_url: str, ca_file: Path | None = None
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._servers = nats_url.split(",")
        self._ca_file = ca_file
        # By the key of the clients' account, and whether it is about the clients' own streams.
        self._open: OrderedDict[tuple[str, bool], StreamsConnection] = OrderedDict()
        self._opening: dict[tuple[str, bool], asyncio.Lock] = {}
        self._tenants: Cache[str, str] = Cache(size=10_000, age_s=300)

    async def find_tenant(self, account: str) -> str:
        """The tenant of a clients' account. Raises AccountMissing."""

        async def load() -> str:
            item = await self._store.find_account_by_key(account)
            if item is None:
                raise AccountMissing
            return item.tenant_id

        return await self._tenants.get(account, load)

    async def get(self, account: str, *, own: bool) -> StreamsConnection:
        """The connection into the streams' account that belongs to a clients' account. Raises CommandError."""
        key = (account, own)
        async with self._opening.setdefault(key, asyncio.Lock()):
            connection = self._open.get(key)
            if connection is None or not connection.nc.is_connected:
                connection = await self._connect(account, own=own)
                self._open[key] = connection
            connection.used_at = time.monotonic()
            self._open.move_to_end(key)
        if len(self._open) > MAX_CONNECTIONS:
            await self._close(next(iter(self._open)))
        return connection

    async def _connect(self, account: str, *, own: bool) -> StreamsConnection:
        tenant_id = await self.find_tenant(account)
        signing = await self._accounts.get_signing_account(tenant_id)
        target, key = (
            (signing.own_account, signing.own_key) if own else (signing.streams_account, signing.streams_key)
        )
        if target is None or key is None:
            raise AccountMissing
        nc = await connect_to_account(
            self._servers,
            claims=stream_api_user_claims(account=target, own=own),
            signing_key=key,
            ca_file=self._ca_file,
        )
        return StreamsConnection(nc=nc, tenant_id=tenant_id, used_at=time.monotonic())

    async def close_idle(self) -> None:
        """Close the connections that were unused for `IDLE_S`."""
        expired_at = time.monotonic() - IDLE_S
        for key, connection in tuple(self._open.items()):
            if connection.used_at < expired_at and self._open.get(key) is connection:
                await self._close(key)

    async def close(self) -> None:
        """Close all connections."""
        while self._open:
            await self._close(next(iter(self._open)))

    async def _close(self, key: tuple[str, bool]) -> None:
        connection = self._open.pop(key, None)
        self._opening.pop(key, None)
        if connection is not None:
            await close_quietly(connection.nc)
