"""Clients: keys, permissions, status and credentials."""

import asyncio
from datetime import timedelta

import pytest

from artcafe_common.broker import nkeys
from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.contracts.presence import PresenceChanged, PresencesChanged
from artcafe_common.contracts.tenancy.activity import ActivityType, ListActivity
from artcafe_common.contracts.tenancy.clients import (
    ClientNotFound,
    ClientState,
    ClientStatus,
    CreateClient,
    DeleteClient,
    GetClient,
    InvalidPermission,
    KeyConflict,
    PermissionsUpdate,
    RegenerateClientKey,
    UpdateClient,
)
from artcafe_common.contracts.tenancy.credentials import FindClientCredential
from artcafe_common.contracts.tenancy.events import (
    ClientChanged,
    ClientRevoked,
    RevocationReason,
)
from support.harness.tenancy import gather_outcomes
from support.waiting import eventually, eventually_equals


def as_update(permissions):
    return PermissionsUpdate(
        publish=permissions.publish, subscribe=permissions.subscribe, streams=permissions.streams
    )


async def test_client_is_created_updated_and_deleted(tenancy):
    owner = await tenancy.owner()
    created = await owner(CreateClient(name="Robot", metadata={"a": 1.5}))
    client = created.client
    assert nkeys.KeyPair(created.nkey_seed).public == client.nkey_public
    assert (client.tenant_id, client.status, client.last_seen) == (
        owner.tenant_id,
        ClientStatus.OFFLINE,
        None,
    )
    assert client.permissions == Permissions()
    ids = {"tenant_id": owner.tenant_id, "client_id": client.client_id}
    await tenancy.wait_for_event(ClientChanged, **ids, nkey_public=client.nkey_public)
    assert await owner(GetClient(client_id=client.client_id)) == client
    await eventually_equals(owner.list_clients, [client])

    renamed = await owner(UpdateClient(client_id=client.client_id, name="Robot 2", metadata={}))
    assert (renamed.name, renamed.metadata, renamed.nkey_public) == ("Robot 2", {}, client.nkey_public)
    assert await owner(GetClient(client_id=client.client_id)) == renamed

    assert await owner(DeleteClient(client_id=client.client_id)) == renamed
    await tenancy.wait_for_event(
        ClientRevoked, **ids, nkey_public=client.nkey_public, reason=RevocationReason.DELETED
    )
    for command in (
        GetClient(client_id=client.client_id),
        UpdateClient(client_id=client.client_id, name="x"),
        DeleteClient(client_id=client.client_id),
        RegenerateClientKey(client_id=client.client_id),
    ):
        with pytest.raises(ClientNotFound):
            await owner(command)
    await eventually_equals(owner.list_clients, [])


async def test_suspension_and_changed_permissions_revoke_the_client(tenancy):
    owner = await tenancy.owner()
    client = await owner.create_client()
    cid = client.client_id
    suspended = await owner(UpdateClient(client_id=cid, status=ClientState.SUSPENDED))
    assert suspended.status is ClientStatus.SUSPENDED
    await tenancy.wait_for_event(ClientRevoked, client_id=cid, reason=RevocationReason.SUSPENDED)
    credential = await tenancy.gateway.call(FindClientCredential(client_id=cid))
    assert credential.state is ClientState.SUSPENDED
    await eventually_equals(lambda: owner.list_clients(status=ClientStatus.SUSPENDED), [suspended])
    assert await owner.list_clients(status=ClientStatus.OFFLINE) == []
    active = await owner(UpdateClient(client_id=cid, status=ClientState.ACTIVE))
    assert active.status is ClientStatus.OFFLINE

    narrow = Permissions(publish=["a.>"], subscribe=[])
    assert (await owner(UpdateClient(client_id=cid, permissions=as_update(narrow)))).permissions == narrow
    await tenancy.wait_for_event(ClientRevoked, client_id=cid, reason=RevocationReason.PERMISSIONS_CHANGED)
    before = len(tenancy.events)
    await owner(UpdateClient(client_id=cid, permissions=as_update(narrow), name="same permissions"))
    await tenancy.wait_for_event(ClientChanged, client_id=cid)
    assert not any(isinstance(event, ClientRevoked) for event in tenancy.events[before:])


async def test_update_of_permissions_changes_only_the_named_action(tenancy):
    """An update never widens what it does not name."""
    owner = await tenancy.owner()
    narrow = Permissions(publish=["a.>"], subscribe=["b.>"])
    cid = (await owner(CreateClient(name="narrow", permissions=narrow))).client.client_id

    async def update(**patterns):
        command = UpdateClient(client_id=cid, permissions=PermissionsUpdate(**patterns))
        permissions = (await owner(command)).permissions
        return permissions.publish, permissions.subscribe

    assert await update() == (["a.>"], ["b.>"])
    assert await update(publish=["c"]) == (["c"], ["b.>"])
    assert await update(subscribe=[]) == (["c"], [])
    assert await update(publish=[], subscribe=["d"]) == ([], ["d"])


async def test_update_of_permissions_never_widens_the_access_to_streams(tenancy):
    owner = await tenancy.owner()
    narrow = Permissions(publish=[">"], subscribe=["a"])
    cid = (await owner(CreateClient(name="robot", permissions=narrow))).client.client_id

    async def update(**changes):
        command = UpdateClient(client_id=cid, permissions=PermissionsUpdate(**changes))
        return (await owner(command)).permissions.streams

    assert await update(subscribe=[">"]) is StreamAccess.NONE
    assert await update(streams=StreamAccess.MANAGE) is StreamAccess.MANAGE
    for changes in ({"subscribe": ["a"]}, {"publish": []}):
        with pytest.raises(InvalidPermission) as error:
            await update(**changes)
        assert [each.field for each in error.value.errors] == ["permissions.streams"]
    assert await update(publish=[], streams=StreamAccess.READ) is StreamAccess.READ
    with pytest.raises(InvalidPermission):
        await update(streams=StreamAccess.MANAGE)


async def test_permission_outside_the_tenant_is_rejected(tenancy):
    owner, other = await tenancy.owner(), await tenancy.owner()
    client = await owner.create_client()
    issued = len(tenancy.identity.keys)
    leaving = Permissions(publish=[">"], subscribe=["a", f"tenant.{other.tenant_id}.>"])
    for command in (
        CreateClient(name="x", permissions=leaving),
        UpdateClient(client_id=client.client_id, permissions=as_update(leaving)),
    ):
        with pytest.raises(InvalidPermission) as error:
            await owner(command)
        assert [each.field for each in error.value.errors] == ["permissions.subscribe[1]"]
    assert len(tenancy.identity.keys) == issued


async def test_regenerated_key_replaces_the_old_one(tenancy):
    owner = await tenancy.owner()
    client = await owner.create_client()
    created = await owner(RegenerateClientKey(client_id=client.client_id))
    assert nkeys.KeyPair(created.nkey_seed).public == created.client.nkey_public != client.nkey_public
    await tenancy.wait_for_event(
        ClientRevoked, nkey_public=client.nkey_public, reason=RevocationReason.KEY_REGENERATED
    )
    found = await tenancy.gateway.call(FindClientCredential(nkey_public=created.client.nkey_public))
    assert (found.client_id, found.tenant_id) == (client.client_id, owner.tenant_id)
    with pytest.raises(ClientNotFound):
        await tenancy.gateway.call(FindClientCredential(nkey_public=client.nkey_public))


async def test_concurrent_key_regeneration_leaves_one_valid_key(tenancy):
    owner = await tenancy.owner()
    client = await owner.create_client()
    before = set(tenancy.identity.keys)
    results, errors = await gather_outcomes(
        *(owner(RegenerateClientKey(client_id=client.client_id)) for _ in range(4))
    )
    assert len(results) + len(errors) == 4
    assert results
    assert set(errors) <= {KeyConflict}
    current = (await owner(GetClient(client_id=client.client_id))).nkey_public
    assert current in {created.client.nkey_public for created in results}
    for key in {client.nkey_public, *tenancy.identity.keys} - before | {client.nkey_public}:
        if key != current:
            with pytest.raises(ClientNotFound):
                await tenancy.gateway.call(FindClientCredential(nkey_public=key))
    # Every replaced key was revoked.
    for created in results:
        if created.client.nkey_public != current:
            await tenancy.wait_for_event(ClientRevoked, nkey_public=created.client.nkey_public)


async def test_credential_is_found_by_key_or_id_only(tenancy):
    owner = await tenancy.owner()
    client = await owner.create_client()

    def find(**fields):
        return tenancy.gateway.call(FindClientCredential(**fields))

    found = await find(client_id=client.client_id)
    assert found == await find(nkey_public=client.nkey_public)
    assert found == await find(nkey_public=client.nkey_public, client_id=client.client_id)
    other = await owner.create_client("other")
    unknown = nkeys.create_key_pair(nkeys.KeyKind.USER).public
    for fields in (
        {"client_id": new_id()},
        {"client_id": ""},
        {"client_id": f"name#{owner.tenant_id}#robot"},
        {"nkey_public": unknown},
        {"nkey_public": ""},
        {"nkey_public": "junk"},
        {"nkey_public": client.nkey_public, "client_id": other.client_id},
    ):
        with pytest.raises(ClientNotFound):
            await find(**fields)
    with pytest.raises(InvalidRequest):
        await find()


async def test_concurrent_updates_of_different_fields_are_all_stored(tenancy):
    owner = await tenancy.owner()
    cid = (await owner.create_client()).client_id
    narrow = Permissions(publish=["a"], subscribe=["a"])
    await asyncio.gather(
        owner(UpdateClient(client_id=cid, name="new")),
        owner(UpdateClient(client_id=cid, metadata={"a": 1})),
        owner(UpdateClient(client_id=cid, permissions=as_update(narrow))),
    )
    client = await owner(GetClient(client_id=cid))
    assert (client.name, client.metadata, client.permissions) == ("new", {"a": 1}, narrow)


async def test_status_follows_presence_events_by_their_time(tenancy):
    owner, other = await tenancy.owner(), await tenancy.owner()
    client = await owner.create_client()
    start = now()

    def change(online, seen_s, *, at_s=None, client_id=client.client_id, tenant_id=owner.tenant_id):
        last_seen = start + timedelta(seconds=seen_s)
        return PresenceChanged(
            tenant_id=tenant_id,
            client_id=client_id,
            account="A",
            online=online,
            last_seen=last_seen,
            occurred_at=last_seen if at_s is None else start + timedelta(seconds=at_s),
        )

    async def publish(online, seen_s, **fields):
        # As presence of an earlier release does.
        await tenancy.presence.publish(change(online, seen_s, **fields))

    async def wait_for(status, seen_s, client_id=client.client_id):
        async def reached():
            record = await owner(GetClient(client_id=client_id))
            expected = (status, start + timedelta(seconds=seen_s))
            return record if (record.status, record.last_seen) == expected else None

        return await eventually(reached, within=3, every=0.02)

    await publish(online=True, seen_s=10)
    online = await wait_for(ClientStatus.ONLINE, 10)
    assert online.updated_at == client.updated_at
    await eventually_equals(lambda: owner.list_clients(status=ClientStatus.ONLINE), [online])

    # An event that is late, of another tenant or of an unknown client is ignored.
    await publish(online=False, seen_s=5)
    await publish(online=False, seen_s=20, tenant_id=other.tenant_id)
    await publish(online=False, seen_s=20, client_id=new_id())
    await publish(online=False, seen_s=20, client_id="")
    await publish(online=False, seen_s=20, client_id=f"name#{owner.tenant_id}#robot")
    marker = await owner.create_client("marker")
    await publish(online=True, seen_s=1, client_id=marker.client_id)
    await wait_for(ClientStatus.ONLINE, 1, marker.client_id)
    await wait_for(ClientStatus.ONLINE, 10)

    # A connection that sent nothing was last seen when it opened.
    await publish(online=False, seen_s=10, at_s=11)
    offline = await wait_for(ClientStatus.OFFLINE, 10)
    await eventually_equals(lambda: owner.list_clients(status=ClientStatus.OFFLINE), [offline])
    await publish(online=True, seen_s=30)
    await wait_for(ClientStatus.ONLINE, 30)
    # Of changes that come together the last one counts.
    changes = [change(online=False, seen_s=40), change(online=True, seen_s=50)]
    await tenancy.presence.publish(
        PresencesChanged(changes=[*changes, change(online=False, seen_s=2, client_id=marker.client_id)])
    )
    await wait_for(ClientStatus.OFFLINE, 2, marker.client_id)
    await wait_for(ClientStatus.ONLINE, 50)
    resource = f"client:{client.client_id}"

    async def recorded():
        page = await owner(ListActivity(resource=resource, type=ActivityType.CONNECTION))
        return [entry.action.removeprefix("client.") for entry in page.logs]

    await eventually_equals(recorded, 3 * ["connected", "disconnected"])
    suspended = await owner(UpdateClient(client_id=client.client_id, status=ClientState.SUSPENDED))
    assert suspended.status is ClientStatus.SUSPENDED
    assert suspended not in await owner.list_clients(status=ClientStatus.ONLINE)
