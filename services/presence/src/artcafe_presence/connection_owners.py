"""Which client, if any, a broker connection in a tenant's account belongs to."""

import asyncio
from collections.abc import Sequence

from artcafe_common.account_keys import AccountKeyCache, ConnectionIssuer, client_id_of
from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.broker.system_account import BrokerConnection, Server, nats_connection_id
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.accounts import AccountMissing
from artcafe_common.contracts.presence import Transport
from artcafe_presence.comparison_requests import ComparisonRequests
from artcafe_presence.records import OpenConnection, to_ms
from artcafe_presence.store import Store


class ConnectionOwnerResolver:
    """Converts the broker's connections to live connections.

    The connections of users that the organization issued itself belong to no client, but count for the plan.
    The platform's own connections are left out.
    """

    def __init__(self, keys: AccountKeyCache) -> None:
        self._keys = keys

    async def resolve(
        self, connections: Sequence[tuple[Server, BrokerConnection]]
    ) -> tuple[list[OpenConnection], bool]:
        """The live connections, and whether identity answered for all of them."""
        in_tenants = [each for each in connections if in_tenant_account(each[1].name_tag)]
        results = await asyncio.gather(*(self._resolve(*each) for each in in_tenants), return_exceptions=True)
        opened: list[OpenConnection] = []
        complete = True
        for result in results:
            if isinstance(result, OpenConnection):
                opened.append(result)
            elif isinstance(result, CommandError):
                complete = complete and isinstance(result, AccountMissing)
            elif isinstance(result, BaseException):
                raise result
        return opened, complete

    async def _resolve(self, server: Server, connection: BrokerConnection) -> OpenConnection | None:
        account = await self._keys.get(
            ConnectionIssuer(
                account=connection.account, issuer=connection.issuer_key, connected_at=connection.start
            )
        )
        client_id = client_id_of(connection.authorized_user, issuer=connection.issuer_key, account=account)
        if not client_id and connection.issuer_key == account.platform_key:
            return None
        return OpenConnection(
            id=nats_connection_id(server.id, connection.cid),
            tenant=account.tenant_id,
            client=client_id,
            account=connection.account,
            transport=Transport.NATS,
            server=server.name,
            holder=server.id,
            connected_at=to_ms(connection.start),
            ip=connection.ip,
        )


class ConnectionOpener:
    """Opens the live connections of the broker's connections; requests a reconciliation for those it cannot resolve."""

    def __init__(
        self, store: Store, owners: ConnectionOwnerResolver, *, requests: ComparisonRequests
    ) -> None:
        self.store = store
        self.requests = requests
        self._owners = owners

    async def open(self, connections: Sequence[tuple[Server, BrokerConnection]]) -> None:
        """Open the connections of which the owner is known. Idempotent; StoreUnavailable."""
        opened, complete = await self._owners.resolve(connections)
        await self.store.open_connections(opened)
        if not complete:
            self.requests.request()


def in_tenant_account(name_tag: str) -> bool:
    """Whether an account's name is a tenant's id; the platform's own accounts have other names."""
    return bool(ULID_PATTERN.match(name_tag))
