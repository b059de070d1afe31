"""The transactional outbox: a killed tenancy service loses no event and no log entry."""

import asyncio
import random
from collections import Counter

import httpx
import msgspec

from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import ClientRevoked, RevocationReason
from artcafe_common.storage.table import Table
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.outbox import to_item
from artcafe_tenancy.tables import ACTIVITY, CLIENTS, PENDING, PendingEvent
from support.activity import build_entry, list_entries, open_database, wait_for_entries
from support.actors import User
from support.waiting import eventually


async def test_repeatedly_killed_tenancy_loses_no_entry_and_no_event(separate_stack):
    org = await (await User.sign_up(separate_stack)).create_organization()
    doomed = await org.create_client("doomed")
    socket = await doomed.connect_websocket()
    stop = asyncio.Event()
    channel_ids, client_ids = set(), set()
    acknowledged, attempted = Counter(), Counter()

    async def attempt(action, method, path, resource="", **kwargs):
        """The response body on success; a request that failed may still have taken effect."""
        if resource:
            attempted[action, resource] += 1
        try:
            response = await org.http.request(method, path, **kwargs)
        except httpx.HTTPError:
            return None
        # 429: an organization can create 100 keys per hour.
        assert response.status_code in (200, 201, 404, 409, 429, 503, 504), response.text
        if not response.is_success:
            return None
        acknowledged[action, resource] += 1
        return response.json()

    async def change_resources():
        while not stop.is_set():
            channel = await attempt("channel.created", "POST", "/channels", json={"name": new_id()})
            if channel is not None:
                channel_id = channel["channel_id"]
                channel_ids.add(channel_id)
                path, resource = f"/channels/{channel_id}", f"channel:{channel_id}"
                for change in ({"name": new_id()}, {"description": "d"}):
                    await attempt("channel.updated", "PUT", path, resource, json=change)
                if random.random() < 0.5:
                    await attempt("channel.deleted", "DELETE", path, resource)
            created = await attempt("client.created", "POST", "/clients", json={"name": new_id()})
            if created is not None:
                client_id = created["client"]["client_id"]
                client_ids.add(client_id)
                await attempt("client.deleted", "DELETE", f"/clients/{client_id}", f"client:{client_id}")

    tasks = [asyncio.create_task(change_resources()) for _ in range(3)]
    for _ in range(5):
        before = sum(acknowledged.values())
        await eventually(lambda before=before: sum(acknowledged.values()) > before + 10, within=20)
        killed = separate_stack.supervisor.kill("tenancy")
        await eventually(lambda killed=killed: separate_stack.supervisor.pid("tenancy") not in (None, killed))
    stop.set()
    await asyncio.gather(*tasks)

    async def delete():
        response = await org.http.delete(f"/clients/{doomed.id}")
        return response.status_code in (200, 404)

    await eventually(delete, within=20)
    assert await socket.wait_closed(10) == (4403, "deleted")
    assert {"channel.updated", "channel.deleted", "client.deleted"} <= {action for action, _ in attempted}

    async def log_is_exact():
        log = await list_entries(org, limit=200)
        recorded = Counter((entry["action"], entry["resource"]) for entry in log)
        assert len({entry["activity_id"] for entry in log}) == len(log)
        # Each acknowledged change is recorded once, and no change more often than attempted.
        for key, attempts in attempted.items():
            assert acknowledged[key] <= recorded[key] <= attempts, key
        for kind, ids in (("channel", channel_ids), ("client", client_ids)):
            assert {recorded[f"{kind}.created", f"{kind}:{each}"] for each in ids} == {1}
            # A resource exists exactly if its creation and not its deletion is recorded.
            created = {resource for action, resource in recorded if action == f"{kind}.created"}
            deleted = {resource for action, resource in recorded if action == f"{kind}.deleted"}
            existing = {f"{kind}:{each}" for each in await list_ids(org, f"{kind}s", f"{kind}_id")}
            assert existing == created - deleted
        return True

    # The lists follow the changes.
    await eventually(log_is_exact)
    await wait_until_published(separate_stack)


async def list_ids(org, plural, key):
    ids, cursor = [], None
    while True:
        query = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        page = await org.call("GET", f"/{plural}", 200, params=query)
        ids += [item[key] for item in page[plural]]
        cursor = page["next_cursor"]
        if cursor is None:
            return ids


async def wait_until_published(stack):
    """Wait until the outbox is empty."""
    async with open_database(stack) as store:

        async def is_empty():
            return (await Table(store, ACTIVITY).query(PENDING, index="PendingIndex")).items == []

        await eventually(is_empty, within=20)


async def test_unpublished_deletion_still_disconnects_the_client(separate_stack):
    """The state after a kill right after the commit: the client is deleted, its event is in the outbox."""
    org = await (await User.sign_up(separate_stack)).create_organization()
    client, other = await org.create_client(), await org.create_client()
    socket, nc, dashboard = (
        await client.connect_websocket(),
        await client.connect_nats(),
        await org.connect_dashboard(),
    )
    bystander = await other.connect_websocket()
    await separate_stack.supervisor.stop("tenancy")
    event = ClientRevoked(
        tenant_id=org.id,
        client_id=client.id,
        nkey_public=client.record["nkey_public"],
        reason=RevocationReason.DELETED,
    )
    deleted = build_entry(type=ActivityType.CLIENT, action="client.deleted", resource=f"client:{client.id}")
    pending = PendingEvent(subject=event.subject, body=msgspec.json.encode(event).decode())
    # An event type that this release does not know does not block the outbox.
    unknown = PendingEvent(subject="artcafe.events.client.renamed", body='{"event_id":"x","more":1}')
    async with open_database(separate_stack) as store:
        await TenantTable(store, CLIENTS).delete(org.id, client.id)
        item = to_item(org.id, deleted, [unknown, pending])
        await TenantTable(store, ACTIVITY).put(org.id, item, new=True)
    assert socket.closed is None
    separate_stack.start("tenancy")
    assert await socket.wait_closed(within=20) == (4403, "deleted")
    await eventually(lambda: nc.is_closed)

    async def entry_received():
        return any(f["activity"]["activity_id"] == deleted.activity_id for f in dashboard.pending("activity"))

    await eventually(entry_received)
    assert await bystander.send_and_receive("ping", "pong")
    await wait_until_published(separate_stack)
    await wait_for_entries(org, 1, action="client.deleted")
