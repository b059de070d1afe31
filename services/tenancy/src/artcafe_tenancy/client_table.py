"""DynamoDB access to clients, which are also found by their public key.

A client is found by the key of an item of its own, which is written together with the client: an index would follow
later than the first login. Clients of earlier releases get theirs at a login, until when the index finds them.
"""

import msgspec
import structlog
from boto3.dynamodb.conditions import Attr, ConditionBase

from artcafe_common import clock
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.storage.dynamo import Database, Write
from artcafe_common.storage.dynamo_errors import ConditionFailed, TransactionFailed
from artcafe_common.storage.table import Table
from artcafe_common.storage.tables import TableSpec
from artcafe_tenancy.outbox import Outbox, OutboxEntry
from artcafe_tenancy.tables import CLIENTS, ClientItem, KeyOwner, TenantItem
from artcafe_tenancy.unique_names import CredentialTable

log = structlog.get_logger()


class ClientTable(CredentialTable[ClientItem]):
    """Clients by id, name and public key; no two have the same key."""

    def __init__(self, database: Database, outbox: Outbox, tenants: Table[TenantItem]) -> None:
        super().__init__(
            database, outbox, CLIENTS, tenants, counter="clients_count", counted="clients and agents"
        )
        self._owners = Table(
            database, TableSpec(name=CLIENTS.name, item=KeyOwner, partition=CLIENTS.partition)
        )

    async def replace_key(self, client: ClientItem, nkey_public: str, entry: OutboxEntry) -> ClientItem:
        """Replace the client's key. Raises ConditionFailed if the key changed or the client is gone."""
        changes = {"nkey_public": nkey_public, "updated_at": clock.now()}
        replaced = msgspec.structs.replace(client, **changes, version=client.version + 1)
        try:
            await self._database.transact_write(
                [
                    self._items.build_update(
                        client.tenant_id,
                        client.client_id,
                        set_=changes,
                        add={"version": 1},
                        condition=_has_key_of(client),
                    ),
                    self._outbox.write_for(entry),
                    *self._lookups_to_remove(client),
                    *self._lookups_to_add(replaced),
                ]
            )
        except TransactionFailed:
            raise ConditionFailed from None
        await self._outbox.publish(entry)
        return replaced

    async def find_by_key(self, nkey_public: str) -> ClientItem | None:
        """The client in any tenant that has this public key (strongly consistent), for authentication."""
        owner = await self._owners.get(_owner_key(nkey_public), consistent=True)
        if owner is None:
            return await self._find_by_index(nkey_public)
        client = await self.find_by_id(owner.holder)
        return client if client is not None and client.nkey_public == nkey_public else None

    async def _find_by_index(self, nkey_public: str) -> ClientItem | None:
        indexed = await self._items.find_in_any_tenant("NKeyIndex", nkey_public)
        if indexed is None:
            return None
        # The index may still contain a replaced key.
        client = await self.find_by_id(indexed.client_id)
        if client is None or client.nkey_public != nkey_public:
            return None
        try:
            await self._database.transact_write(
                [
                    self._items.build_check(
                        client.tenant_id, client.client_id, condition=_has_key_of(client)
                    ),
                    *self._lookups_to_add(client),
                ]
            )
        except (TransactionFailed, StoreUnavailable) as error:
            log.info("client_key_not_recorded", client_id=client.client_id, reason=str(error))
        return client

    def _lookups_to_add(self, item: ClientItem) -> tuple[Write, ...]:
        free = Attr(CLIENTS.partition).not_exists() | Attr("holder").eq(item.client_id)
        key = _owner_key(item.nkey_public)
        return (self._owners.build_update(key, set_={"holder": item.client_id}, condition=free),)

    def _lookups_to_remove(self, item: ClientItem) -> tuple[Write, ...]:
        return (self._owners.build_delete(_owner_key(item.nkey_public)),)


def _owner_key(nkey_public: str) -> str:
    return f"nkey#{nkey_public}"


def _has_key_of(client: ClientItem) -> ConditionBase:
    return Attr("nkey_public").eq(client.nkey_public)
