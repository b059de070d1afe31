"""Closes direct NATS connections of clients."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import kick, list_connections
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_all
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.tenancy.credentials import ClientCredential
from artcafe_common.contracts.tenancy.events import ClientRevoked, RevocationReason
from artcafe_identity.account_repository import AccountRepository
from artcafe_identity.client_authenticator import ClientAuthenticator
from artcafe_identity.recent_logins import Login, RecentLogins
from artcafe_identity.tables import AccountItem

# A login of this moment, by an instance that does not know of the revocation yet, is in the broker's list after it.
RECHECK_DELAY_S = 0.3
MAX_CONCURRENT_KICKS = 50
_ENDS_ACCESS = frozenset({RevocationReason.DELETED, RevocationReason.SUSPENDED})
log = structlog.get_logger()


class ClientKicker:
    """Ends NATS connections of clients, on every server of the cluster.

    Those that this instance let in with the present rights stay. What another instance let in with earlier rights, that
    instance ends (`recent_logins`).
    """

    def __init__(self, system: Nats, recent_logins: RecentLogins) -> None:
        self._system = system
        self._recent_logins = recent_logins

    async def kick(
        self,
        account: AccountItem,
        client_id: str,
        current: ClientCredential | None,
        *,
        recheck: bool,
        started_before: datetime | None = None,
    ) -> int:
        """End the connections of one client that are not as `current`; with `recheck`, look again for new ones.

        Returns their number. With `recheck`, a connection that another instance lets in meanwhile ends as well; with
        `started_before`, only earlier ones do.
        """

        async def kick_outdated() -> int:
            return await self._kick(
                account,
                lambda user: user == client_id,
                keeps=lambda login: login.is_current(current),
                started_before=started_before,
            )

        kicked = await kick_outdated()
        if recheck:
            await asyncio.sleep(RECHECK_DELAY_S)
            kicked += await kick_outdated()
        return kicked

    async def kick_all(self, account: AccountItem) -> int:
        """End the connections of all clients of an account, which then connect again; returns their number."""
        may_publish = not account.is_quota_exhausted
        return await self._kick(
            account,
            lambda user: bool(ULID_PATTERN.match(user)),
            keeps=lambda login: not account.is_blocked and login.may_publish == may_publish,
        )

    async def _kick(
        self,
        account: AccountItem,
        applies: Callable[[str], bool],
        *,
        keeps: Callable[[Login], bool],
        started_before: datetime | None = None,
    ) -> int:
        connections = [
            (listing.server.id, connection.cid)
            for listing in await list_connections(self._system, account=account.account)
            for connection in listing.connections
            # Users that the organization issued itself choose their name.
            if connection.issuer_key == account.platform_key and applies(connection.authorized_user)
            if started_before is None or connection.start < started_before
        ]
        outdated = [
            each
            for each in connections
            if (login := self._recent_logins.get(*each)) is None or not keeps(login)
        ]
        slots = asyncio.Semaphore(MAX_CONCURRENT_KICKS)

        async def kick_one(server_id: str, cid: int) -> None:
            async with slots:
                await kick(self._system, server_id, cid)

        # A server that does not reply must not save the connections to the others.
        await run_all(kick_one(*each) for each in outdated)
        return len(outdated)


class RevocationHandler:
    """Ends the connections of clients whose key or rights have changed."""

    def __init__(
        self,
        *,
        clients: ClientKicker,
        accounts: AccountRepository,
        authenticator: ClientAuthenticator,
        recent_logins: RecentLogins,
    ) -> None:
        self._clients = clients
        self._accounts = accounts
        self._authenticator = authenticator
        self._recent_logins = recent_logins

    async def on_client_revoked(self, event: ClientRevoked) -> None:
        """Close every NATS connection of the client, on behalf of all instances, as soon as the event is published.

        Idempotent. It does not wait until the event is stored: its stream may have no leader.
        """
        if event.reason not in _ENDS_ACCESS:
            # A client with other permissions connects again at once, and must not be ended twice.
            await self._end(event, recheck=event.reason is not RevocationReason.PERMISSIONS_CHANGED)

    async def on_stored_client_revoked(self, event: ClientRevoked) -> None:
        """Close the connections that `on_client_revoked` has missed, because no instance was connected. Idempotent."""
        await self._end(event, recheck=False, started_before=event.occurred_at)

    async def _end(
        self, event: ClientRevoked, *, recheck: bool, started_before: datetime | None = None
    ) -> None:
        try:
            account = (await self._accounts.get_signing_account(event.tenant_id)).item
        except AccountMissing:
            return
        kicked = await self._clients.kick(
            account,
            event.client_id,
            await self._current(event),
            recheck=recheck,
            started_before=started_before,
        )
        log.info("client_revoked", client_id=event.client_id, reason=event.reason, kicked=kicked)

    async def end_recent_logins(self, event: ClientRevoked) -> None:
        """Close what this instance let in before it knew of the event; every instance does so.

        Without access left, every instance closes all connections of the client: the one that `on_client_revoked` reaches
        may be stopping.
        """
        self._authenticator.invalidate(event)
        if self._recent_logins.includes_client(event.client_id):
            await self._recent_logins.end_revoked(event.client_id, await self._current(event))
        if event.reason in _ENDS_ACCESS:
            await self._end(event, recheck=True)

    async def _current(self, event: ClientRevoked) -> ClientCredential | None:
        self._authenticator.invalidate(event)
        try:
            return await self._authenticator.find_by_id(event.client_id)
        except CommandError as error:
            # All its connections end, also those that could stay.
            log.warning("revoked_client_not_found", client_id=event.client_id, reason=error.detail)
            return None
