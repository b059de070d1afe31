"""Ends the direct NATS connections of logins whose rights were outdated before the connection began.

Every instance caches accounts and clients, and learns a little later than the instance that changed one. It then ends
what it let in meanwhile, and nothing else: the connections that came back with the rights of today stay.
"""

import asyncio

import msgspec
import structlog
from cachetools import TTLCache
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import kick
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.tenancy.clients import ClientState
from artcafe_common.contracts.tenancy.credentials import ClientCredential
from artcafe_identity.account_repository import AccountRepository

# Longer than the news of a change takes.
REMEMBERED_S = 15
MAX_LOGINS = 50_000
log = structlog.get_logger()


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """The client of a connection as it was let in, and whether its organization might publish."""

    client: ClientCredential
    may_publish: bool

    def is_current(self, client: ClientCredential | None) -> bool:
        """Whether the connection has the key and the permissions that its client has now; never without a client."""
        return (
            client is not None
            and client.state is ClientState.ACTIVE
            and client.nkey_public == self.client.nkey_public
            and client.permissions == self.client.permissions
        )


class RecentLogins:
    """The logins of the last seconds that this instance answered."""

    def __init__(self, system: Nats, accounts: AccountRepository) -> None:
        self._system = system
        self._accounts = accounts
        # By server id and connection id.
        self._logins: TTLCache[tuple[str, int], Login] = TTLCache(MAX_LOGINS, REMEMBERED_S)

    def record(self, server_id: str, cid: int, login: Login) -> None:
        """Remember a login; call it without awaiting after the account was read, and the client is known to be current."""
        self._logins[server_id, cid] = login

    def get(self, server_id: str, cid: int) -> Login | None:
        """The login of a connection that began in the last seconds."""
        return self._logins.get((server_id, cid))

    def includes_client(self, client_id: str) -> bool:
        """Whether one of the logins is this client's."""
        return any(login.client.client_id == client_id for login in tuple(self._logins.values()))

    async def end_outdated(self, tenant_id: str) -> int:
        """End the connections of a tenant whose right to publish is not that of its account now; returns their number."""
        logins = [each for each in tuple(self._logins.items()) if each[1].client.tenant_id == tenant_id]
        if not logins:
            return 0
        try:
            item = (await self._accounts.get_signing_account(tenant_id)).item
        except AccountMissing:
            return 0
        may_publish = not item.is_quota_exhausted
        return await self._end(
            [each for each, login in logins if item.is_blocked or login.may_publish != may_publish]
        )

    async def end_revoked(self, client_id: str, current: ClientCredential | None) -> int:
        """End the connections of a client that were let in otherwise than it would be now; returns their number."""
        return await self._end(
            [
                connection
                for connection, login in tuple(self._logins.items())
                if login.client.client_id == client_id and not login.is_current(current)
            ]
        )

    async def _end(self, outdated: list[tuple[str, int]]) -> int:
        results = await asyncio.gather(
            *(kick(self._system, *connection) for connection in outdated), return_exceptions=True
        )
        for connection, result in zip(outdated, results, strict=True):
            if isinstance(result, CommandError):
                log.warning("outdated_login_not_ended", server=connection[0], reason=result.detail)
            elif isinstance(result, BaseException):
                raise result
            else:
                self._logins.pop(connection, None)
        return len(outdated)
