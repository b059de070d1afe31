"""Endpoints of clients."""

from typing import Any

from msgspec import UNSET, structs

from artcafe_common import authorization, clock
from artcafe_common.broker import nkeys
from artcafe_common.bus.command import Event
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.contracts.identity.clients import IssueClientKey, Permissions
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.clients import (
    Client,
    ClientNotFound,
    Clients,
    ClientState,
    ClientStatus,
    CreateClient,
    CreatedClient,
    DeleteClient,
    ExplainPermission,
    GetClient,
    KeyConflict,
    ListClients,
    PermissionExplanation,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.credentials import ClientCredential, FindClientCredential
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked, RevocationReason
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import LIMITS
from artcafe_common.storage.dynamo_errors import ConditionFailed
from artcafe_tenancy import metadata, names, permission_explanations, permissions
from artcafe_tenancy.endpoint_base import EndpointBase, changed_fields, given_fields, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry
from artcafe_tenancy.presence_mirror import from_microseconds
from artcafe_tenancy.tables import ClientItem
from artcafe_tenancy.unique_names import status_filter


class ClientEndpoints(EndpointBase):
    """Commands of clients and their keys."""

    @handles(CreateClient)
    async def create_client(self, request: CreateClient) -> CreatedClient:
        tenant_id = authorization.require_role(Role.MEMBER)
        granted = request.permissions or Permissions()
        names.check(request.name)
        permissions.check(tenant_id, granted)
        metadata.check(request.metadata)
        metadata.check_agent_card(request.metadata)
        tenant = await self.get_tenant(tenant_id)
        limit = LIMITS[tenant.plan].clients
        await self.store.clients.check_capacity(tenant, request.name, limit)
        key = await self.bus.call(IssueClientKey())
        now = clock.now()
        client = ClientItem(
            client_id=clock.new_id(),
            tenant_id=tenant_id,
            name=request.name,
            nkey_public=key.nkey_public,
            permissions=granted,
            metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        await self.store.clients.create(
            client, limit, _build_entry(client, "client.created", _changed_event(client))
        )
        return CreatedClient(client=to_client(client), nkey_seed=key.nkey_seed)

    @handles(ListClients)
    async def list_clients(self, request: ListClients) -> Clients:
        tenant_id = authorization.require_role(Role.VIEWER)
        where = None if request.status is None else status_filter(request.status)
        items, next_cursor = await self.read_page(
            self.store.clients.list, tenant_id, "clients", request, where=where, name=request.name
        )
        return Clients(clients=[to_client(client) for client in items], next_cursor=next_cursor)

    @handles(GetClient)
    async def get_client(self, request: GetClient) -> Client:
        return to_client(await self._get_client(authorization.require_role(Role.VIEWER), request.client_id))

    @handles(ExplainPermission)
    async def explain_permission(self, request: ExplainPermission) -> PermissionExplanation:
        client = await self._get_client(authorization.require_role(Role.VIEWER), request.client_id)
        return permission_explanations.explain(
            client.tenant_id, client.client_id, client.permissions, request.action, request.tested
        )

    @handles(UpdateClient)
    async def update_client(self, request: UpdateClient) -> Client:
        tenant_id = authorization.require_role(Role.MEMBER)
        given = changed_fields(request, key="client_id")
        metadata.check_agent_card(given.get("metadata", {}))
        given_permissions = {} if request.permissions is UNSET else given_fields(request.permissions)
        permissions.check_patterns(
            tenant_id,
            publish=given_permissions.get("publish", []),
            subscribe=given_permissions.get("subscribe", []),
        )
        changes = {"state" if name == "status" else name: value for name, value in given.items()}

        def build_changes(before: ClientItem) -> dict[str, Any]:
            if request.permissions is UNSET:
                return changes
            updated = structs.replace(before.permissions, **given_permissions)
            permissions.check_streams(updated)
            return {**changes, "permissions": updated}

        def build_update_entry(before: ClientItem, client: ClientItem) -> OutboxEntry:
            # Published even if the client is already suspended, so that a retry closes remaining connections.
            if request.status is ClientState.SUSPENDED:
                event: Event = _revoked_event(client, RevocationReason.SUSPENDED)
            elif client.permissions != before.permissions:
                event = _revoked_event(client, RevocationReason.PERMISSIONS_CHANGED)
            else:
                event = _changed_event(client)
            return _build_entry(client, "client.updated", event, {"changed": sorted(changes)})

        client = await self.store.clients.update(
            tenant_id, request.client_id, build_changes, build_update_entry, request.check_version
        )
        return to_client(require_found(client, ClientNotFound))

    @handles(DeleteClient)
    async def delete_client(self, request: DeleteClient) -> Client:
        tenant_id = authorization.require_role(Role.MEMBER)
        client = await self.store.clients.delete(
            tenant_id,
            request.client_id,
            lambda item: _build_entry(item, "client.deleted", _revoked_event(item, RevocationReason.DELETED)),
            request.check_version,
        )
        return to_client(require_found(client, ClientNotFound))

    @handles(RegenerateClientKey)
    async def regenerate_client_key(self, request: RegenerateClientKey) -> CreatedClient:
        tenant_id = authorization.require_role(Role.MEMBER)
        before = await self._get_client(tenant_id, request.client_id)
        key = await self.bus.call(IssueClientKey())
        try:
            event = _revoked_event(before, RevocationReason.KEY_REGENERATED)
            entry = _build_entry(before, "client.key_regenerated", event)
            client = await self.store.clients.replace_key(before, key.nkey_public, entry)
        except ConditionFailed:
            await self._get_client(tenant_id, request.client_id)
            # Not retried: that would revoke the key that the concurrent request just returned.
            raise KeyConflict from None
        return CreatedClient(client=to_client(client), nkey_seed=key.nkey_seed)

    @handles(FindClientCredential)
    async def find_client_credential(self, request: FindClientCredential) -> ClientCredential:
        if request.nkey_public is not None:
            client = await self._find_by_key(request.nkey_public)
        elif request.client_id is not None:
            client = await self.store.clients.find_by_id(request.client_id)
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
            updated_at=client.updated_at,
        )

    async def _find_by_key(self, nkey_public: str) -> ClientItem | None:
        try:
            nkeys.decode_public(nkey_public, nkeys.KeyKind.USER)
        except nkeys.InvalidNKeyError:
            return None
        return await self.store.clients.find_by_key(nkey_public)

    async def _get_client(self, tenant_id: str, client_id: str) -> ClientItem:
        return require_found(await self.store.clients.get(tenant_id, client_id), ClientNotFound)


def _changed_event(client: ClientItem) -> ClientChanged:
    return ClientChanged(
        tenant_id=client.tenant_id, client_id=client.client_id, nkey_public=client.nkey_public
    )


def _revoked_event(client: ClientItem, reason: RevocationReason) -> ClientRevoked:
    return ClientRevoked(
        tenant_id=client.tenant_id,
        client_id=client.client_id,
        nkey_public=client.nkey_public,
        reason=reason,
    )


def _build_entry(
    client: ClientItem, action: str, event: Event, metadata: dict[str, Any] | None = None
) -> OutboxEntry:
    return build_entry(
        ActivityType.CLIENT,
        action,
        f"client:{client.client_id}",
        event,
        metadata={"name": client.name, **(metadata or {})},
    )


def to_client(client: ClientItem) -> Client:
    """A client as the API returns it."""
    presence = ClientStatus.ONLINE if client.online else ClientStatus.OFFLINE
    return Client(
        client_id=client.client_id,
        tenant_id=client.tenant_id,
        name=client.name,
        nkey_public=client.nkey_public,
        permissions=client.permissions,
        status=ClientStatus.SUSPENDED if client.state is ClientState.SUSPENDED else presence,
        last_seen=from_microseconds(client.seen_us),
        metadata=client.metadata,
        created_at=client.created_at,
        updated_at=client.updated_at,
    )
