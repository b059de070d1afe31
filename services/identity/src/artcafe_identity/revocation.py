"""Closes the direct NATS connections of revoked clients."""

import asyncio

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.system_account import kick, list_connections
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.tenancy.events import ClientRevoked
from artcafe_identity.account_repository import AccountRepository

# Another instance may accept a login from its cache before it receives the event.
RECHECK_DELAY_S = 0.3
log = structlog.get_logger()


class RevocationHandler:
    """Kicks the connections of revoked clients on every server of the cluster."""

    def __init__(self, *, system: Nats, accounts: AccountRepository) -> None:
        self._system = system
        self._accounts = accounts

    async def on_client_revoked(self, event: ClientRevoked) -> None:
        """Close every NATS connection of the client. Idempotent."""
        try:
            account = (await self._accounts.get_signing_account(event.tenant_id)).item.account
        except AccountMissing:
            return
        kicked = await self._kick_connections(account, event.client_id)
        await asyncio.sleep(RECHECK_DELAY_S)
        kicked += await self._kick_connections(account, event.client_id)
        log.info("client_revoked", client_id=event.client_id, reason=event.reason, kicked=kicked)

    async def _kick_connections(self, account: str, client_id: str) -> int:
        kicked = 0
        for listing in await list_connections(self._system, account=account):
            for connection in listing.connections:
                if connection.authorized_user == client_id:
                    await kick(self._system, listing.server.id, connection.cid)
                    kicked += 1
        return kicked
