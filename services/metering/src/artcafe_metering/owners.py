"""The owner of a connection's traffic: a client, the tenant's own NATS user, or a gateway's bridge."""

import msgspec

from artcafe_common.account_keys import (
    MAX_CONCURRENT_LOOKUPS,
    AccountKeyCache,
    ConnectionIssuer,
    client_id_of,
)
from artcafe_common.broker.system_account import PLATFORM_CONNECTION_NAME
from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import CommandError
from artcafe_common.concurrency import run_together
from artcafe_common.contracts.identity.accounts import AccountMissing, BrokerAccount
from artcafe_metering.connections import ConnectionSnapshot


class ConnectionOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose usage a connection's traffic is; a bridge's traffic is counted by its gateway instead."""

    client_id: str = ""
    bridge: bool = False


class OwnerResolver:
    """Finds the owners of connections, with a cache of identity's accounts."""

    def __init__(self, bus: Bus) -> None:
        self._keys = AccountKeyCache(bus, service="metering")

    async def resolve(self, snapshots: list[ConnectionSnapshot]) -> dict[str, ConnectionOwner | None]:
        """The owners by connection key; a connection is left out while its owner cannot be determined.

        The value is None for connections of deleted accounts and for the platform's own work.
        """
        connections = {
            snapshot.key: ConnectionIssuer(
                account=snapshot.account, issuer=snapshot.issuer, connected_at=snapshot.start
            )
            for snapshot in snapshots
        }
        deleted = await self._find_accounts(
            {each.account: each for each in connections.values() if self._keys.get_cached(each) is None}
        )
        owners: dict[str, ConnectionOwner | None] = {}
        for snapshot in snapshots:
            account = self._keys.get_cached(connections[snapshot.key])
            if snapshot.account in deleted:
                owners[snapshot.key] = None
            elif account is not None:
                owners[snapshot.key] = _owner(snapshot, account)
        return owners

    async def _find_accounts(self, unknown: dict[str, ConnectionIssuer]) -> set[str]:
        """Cache the accounts that identity knows; returns those that it does not. Ends when it does not answer."""
        deleted: set[str] = set()
        waiting = iter(unknown.items())
        identity_answers = True

        async def work() -> None:
            nonlocal identity_answers
            for account, connection in waiting:
                try:
                    await self._keys.get(connection)
                except AccountMissing:
                    deleted.add(account)
                except CommandError:
                    identity_answers = False  # wait for one timeout per call, not one per account
                if not identity_answers:
                    return

        await run_together(*(work() for _ in range(min(MAX_CONCURRENT_LOOKUPS, len(unknown)))))
        return deleted


def _owner(snapshot: ConnectionSnapshot, account: BrokerAccount) -> ConnectionOwner | None:
    client_id = client_id_of(snapshot.user, issuer=snapshot.issuer, account=account)
    if client_id or snapshot.issuer != account.platform_key:
        return ConnectionOwner(client_id=client_id)
    return None if snapshot.name == PLATFORM_CONNECTION_NAME else ConnectionOwner(bridge=True)
