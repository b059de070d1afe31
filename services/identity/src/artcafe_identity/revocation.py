"""Ending a revoked client's direct NATS connections, everywhere, within a second."""

import asyncio

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import kick, list_connections
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.tenancy.events import ClientRevoked
from artcafe_identity.account_repository import AccountRepository

# A connection that another instance admitted from its cache while the news was on its way.
SECOND_LOOK_S = 0.3
log = structlog.get_logger()


class Revocations:
    """Applies ClientRevoked to the broker; doing it twice does no harm."""

    def __init__(self, *, system: Nats, registry: AccountRepository) -> None:
        self._system = system
        self._registry = registry

    async def apply(self, event: ClientRevoked) -> None:
        """Kick every connection of the client."""
        try:
            account = (await self._registry.open(event.tenant_id)).item.account
        except AccountMissing:
            return
        ended = await self._kick_all(account, event.client_id)
        await asyncio.sleep(SECOND_LOOK_S)
        ended += await self._kick_all(account, event.client_id)
        log.info("client_revoked", client_id=event.client_id, reason=event.reason, ended=ended)

    async def _kick_all(self, account: str, client_id: str) -> int:
        ended = 0
        for listing in await list_connections(self._system, account=account):
            for connection in listing.connections:
                if connection.authorized_user == client_id:
                    await kick(self._system, listing.server.id, connection.cid)
                    ended += 1
        return ended
