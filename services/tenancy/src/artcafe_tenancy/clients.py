"""Endpoints of clients."""

from typing import Any

from msgspec import UNSET

from artcafe_common import authorization, clock
from artcafe_common.broker import nkeys
from artcafe_common.bus.command import Event
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.contracts.identity.clients import IssueClientKey, Permissions
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.clients import (
    Client,
    ClientCreated,
    ClientNotFound,
    Clients,
    ClientState,
    ClientStatus,
    CreateClient,
    DeleteClient,
    GetClient,
    KeyConflict,
    ListClients,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.credentials import ClientCredential, FindClientCredential
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked, RevocationReason
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import LIMITS
from artcafe_common.storage.dynamo import ConditionFailed
from artcafe_tenancy import metadata, names, permissions
from artcafe_tenancy.endpoint_base import Handlers, changed_fields, require_found
from artcafe_tenancy.outbox import Entry, entry
from artcafe_tenancy.presence_mirror import time_of
from artcafe_tenancy.tables import ClientItem
from artcafe_tenancy.unique_names import status_filter


class ClientEndpoints(Handlers):
    """The agent programs of an organization, and their keys."""

    @handles(CreateClient)
    async def create_client(self, request: CreateClient) -> ClientCreated:
        tenant_id = authorization.require_role(Role.MEMBER)
        allowed = request.permissions or Permissions()
        names.check(request.name)
        permissions.check(tenant_id, allowed)
        metadata.check(request.metadata)
        tenant = await self.tenant(tenant_id)
        limit = LIMITS[tenant.plan].clients
        await self.store.clients.check_room(tenant, request.name, limit)
        key = await self.bus.call(IssueClientKey())
        now = clock.now()
        client = ClientItem(
            client_id=clock.new_id(),
            tenant_id=tenant_id,
            name=request.name,
            nkey_public=key.nkey_public,
            permissions=allowed,
            metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        await self.store.clients.create(client, limit, _told(client, "client.created", _changed(client)))
        return ClientCreated(client=shown(client), nkey_seed=key.nkey_seed)

    @handles(ListClients)
    async def list_clients(self, request: ListClients) -> Clients:
        tenant_id = authorization.require_role(Role.VIEWER)
        where = None if request.status is None else status_filter(request.status)
        items, next_cursor = await self.read_page(
            self.store.clients.list, tenant_id, "clients", request, where=where
        )
        return Clients(clients=[shown(client) for client in items], next_cursor=next_cursor)

    @handles(GetClient)
    async def get_client(self, request: GetClient) -> Client:
        return shown(await self._client(authorization.require_role(Role.VIEWER), request.client_id))

    @handles(UpdateClient)
    async def update_client(self, request: UpdateClient) -> Client:
        tenant_id = authorization.require_role(Role.MEMBER)
        given = changed_fields(request, key="client_id")
        if request.permissions is not UNSET:
            permissions.check(tenant_id, request.permissions)
        changes = {"state" if name == "status" else name: value for name, value in given.items()}

        def tells(before: ClientItem, client: ClientItem) -> Entry:
            # Said again of one that is suspended already, so that trying again ends what was left over.
            if request.status is ClientState.SUSPENDED:
                event: Event = _revoked(client, RevocationReason.SUSPENDED)
            elif client.permissions != before.permissions:
                event = _revoked(client, RevocationReason.PERMISSIONS_CHANGED)
            else:
                event = _changed(client)
            return _told(client, "client.updated", event, {"changed": sorted(changes)})

        client = await self.store.clients.change(tenant_id, request.client_id, changes, tells)
        return shown(require_found(client, ClientNotFound))

    @handles(DeleteClient)
    async def delete_client(self, request: DeleteClient) -> Client:
        tenant_id = authorization.require_role(Role.MEMBER)
        client = await self.store.clients.delete(
            tenant_id,
            request.client_id,
            lambda gone: _told(gone, "client.deleted", _revoked(gone, RevocationReason.DELETED)),
        )
        return shown(require_found(client, ClientNotFound))

    @handles(RegenerateClientKey)
    async def regenerate_client_key(self, request: RegenerateClientKey) -> ClientCreated:
        tenant_id = authorization.require_role(Role.MEMBER)
        before = await self._client(tenant_id, request.client_id)
        key = await self.bus.call(IssueClientKey())
        try:
            revoked = _revoked(before, RevocationReason.KEY_REGENERATED)
            new = _told(before, "client.key_regenerated", revoked)
            client = await self.store.clients.rekey(before, key.nkey_public, new)
        except ConditionFailed:
            await self._client(tenant_id, request.client_id)
            # Not tried again: that would end the key that the other one was just given.
            raise KeyConflict from None
        return ClientCreated(client=shown(client), nkey_seed=key.nkey_seed)

    @handles(FindClientCredential)
    async def find_credential(self, request: FindClientCredential) -> ClientCredential:
        if request.nkey_public is not None:
            client = await self._by_key(request.nkey_public)
        elif request.client_id is not None:
            client = await self.store.clients.by_id(request.client_id)
        else:
            raise InvalidRequest("nkey_public or client_id is required")
        if client is None or request.client_id not in (None, client.client_id):
            raise ClientNotFound
        return ClientCredential(
            client_id=client.client_id,
            tenant_id=client.tenant_id,
            name=client.name,
            nkey_public=client.nkey_public,
            state=client.state,
            permissions=client.permissions,
        )

    async def _by_key(self, nkey_public: str) -> ClientItem | None:
        try:
            nkeys.decode_public(nkey_public, nkeys.KeyKind.USER)
        except nkeys.InvalidNKeyError:
            return None
        return await self.store.clients.by_key(nkey_public)

    async def _client(self, tenant_id: str, client_id: str) -> ClientItem:
        return require_found(await self.store.clients.get(tenant_id, client_id), ClientNotFound)


def _changed(client: ClientItem) -> ClientChanged:
    return ClientChanged(
        tenant_id=client.tenant_id, client_id=client.client_id, nkey_public=client.nkey_public
    )


def _revoked(client: ClientItem, reason: RevocationReason) -> ClientRevoked:
    return ClientRevoked(
        tenant_id=client.tenant_id,
        client_id=client.client_id,
        nkey_public=client.nkey_public,
        reason=reason,
    )


def _told(client: ClientItem, action: str, event: Event, more: dict[str, Any] | None = None) -> Entry:
    return entry(
        ActivityType.CLIENT,
        action,
        f"client:{client.client_id}",
        event,
        metadata={"name": client.name, **(more or {})},
    )


def shown(client: ClientItem) -> Client:
    """A client as it is shown."""
    seen = ClientStatus.ONLINE if client.online else ClientStatus.OFFLINE
    return Client(
        client_id=client.client_id,
        tenant_id=client.tenant_id,
        name=client.name,
        nkey_public=client.nkey_public,
        permissions=client.permissions,
        status=ClientStatus.SUSPENDED if client.state is ClientState.SUSPENDED else seen,
        last_seen=time_of(client.seen_us),
        metadata=client.metadata,
        created_at=client.created_at,
        updated_at=client.updated_at,
    )
