"""The transactional outbox: a killed tenancy service loses no event and no log entry."""

import asyncio
import random
from collections import Counter

import httpx
import msgspec
import pytest

from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import ClientRevoked, RevocationReason
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.outbox import item_of
from artcafe_tenancy.tables import ACTIVITY, CLIENTS, PENDING, PendingEvent
from support.activity import build_entry, list_entries, open_database, wait_for_entries
from support.actors import User
from support.waiting import eventually


@pytest.fixture
async def own_stack(new_stack):
    async with new_stack() as running:
        yield running


async def test_a_tenancy_that_is_killed_again_and_again_loses_no_entry_and_no_event(own_stack):
    org = await (await User.sign_up(own_stack)).create_organization()
    doomed = await org.create_client("doomed")
    socket = await doomed.connect_websocket()
    done = asyncio.Event()
    clients = set()
    made, acknowledged, tried = set(), Counter(), Counter()

    async def attempt(action, method, path, resource="", **kwargs):
        """The answer's body if it was done; what was not acknowledged may be done nevertheless."""
        if resource:
            tried[action, resource] += 1
        try:
            answer = await org.http.request(method, path, **kwargs)
        except httpx.HTTPError:
            return None
        # The organization gets no more than 100 keys.
        assert answer.status_code in (200, 201, 404, 409, 429, 503, 504), answer.text
        if not answer.is_success:
            return None
        acknowledged[action, resource] += 1
        return answer.json()

    async def work():
        while not done.is_set():
            opened = await attempt("channel.created", "POST", "/channels", json={"name": new_id()})
            if opened is not None:
                channel_id = opened["channel_id"]
                made.add(channel_id)
                path, about = f"/channels/{channel_id}", f"channel:{channel_id}"
                for change in ({"name": new_id()}, {"description": "d"}):
                    await attempt("channel.updated", "PUT", path, about, json=change)
                if random.random() < 0.5:
                    await attempt("channel.deleted", "DELETE", path, about)
            client = await attempt("client.created", "POST", "/clients", json={"name": new_id()})
            if client is not None:
                client_id = client["client"]["client_id"]
                clients.add(client_id)
                await attempt("client.deleted", "DELETE", f"/clients/{client_id}", f"client:{client_id}")

    working = [asyncio.create_task(work()) for _ in range(3)]
    for _ in range(5):
        before = sum(acknowledged.values())
        await eventually(lambda count=before: sum(acknowledged.values()) > count + 10, within=20)
        killed = own_stack.supervisor.kill("tenancy")
        await eventually(lambda before=killed: own_stack.supervisor.pid("tenancy") not in (None, before))
    done.set()
    await asyncio.gather(*working)

    async def deleted():
        answer = await org.http.delete(f"/clients/{doomed.id}")
        return answer.status_code in (200, 404)

    await eventually(deleted, within=20)
    assert await socket.wait_closed(10) == (4403, "deleted")
    log = await list_entries(org, limit=200)
    told = Counter((entry["action"], entry["resource"]) for entry in log)
    assert len({entry["activity_id"] for entry in log}) == len(log)
    # Every acknowledged change once, and no more than was tried.
    assert {"channel.updated", "channel.deleted", "client.deleted"} <= {action for action, _ in tried}
    for key, times in tried.items():
        assert acknowledged[key] <= told[key] <= times, key
    for action, kind, ids in (("channel.created", "channel", made), ("client.created", "client", clients)):
        assert {told[action, f"{kind}:{id_}"] for id_ in ids} == {1}
    # A change is there exactly if its entry is.
    opened = {resource for action, resource in told if action == "channel.created"}
    closed = {resource for action, resource in told if action == "channel.deleted"}
    assert {f"channel:{each}" for each in await everything(org, "channels", "channel_id")} == opened - closed
    made_clients = {resource for action, resource in told if action == "client.created"}
    gone = {resource for action, resource in told if action == "client.deleted"}
    assert {f"client:{each}" for each in await everything(org, "clients", "client_id")} == made_clients - gone
    await nothing_pending(own_stack)


async def everything(org, plural, key):
    found, cursor = [], None
    while True:
        query = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        page = await org.call("GET", f"/{plural}", 200, params=query)
        found += [item[key] for item in page[plural]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def nothing_pending(stack):
    """Wait until all that was stored was announced."""
    async with open_database(stack) as store:

        async def announced():
            return (await store.table(ACTIVITY).query(PENDING, index="PendingIndex")).items == []

        await eventually(announced, within=20)


async def test_a_deletion_that_nobody_announced_still_cuts_the_client(own_stack):
    """As a kill leaves it right after the commit: the client is gone, and its entry holds the event."""
    org = await (await User.sign_up(own_stack)).create_organization()
    agent, other = await org.create_client(), await org.create_client()
    socket, nc, board = (
        await agent.connect_websocket(),
        await agent.connect_nats(),
        await org.connect_dashboard(),
    )
    bystander = await other.connect_websocket()
    await own_stack.supervisor.stop("tenancy")
    event = ClientRevoked(
        tenant_id=org.id,
        client_id=agent.id,
        nkey_public=agent.record["nkey_public"],
        reason=RevocationReason.DELETED,
    )
    deleted = build_entry(type=ActivityType.CLIENT, action="client.deleted", resource=f"client:{agent.id}")
    pending = PendingEvent(subject=event.subject, body=msgspec.json.encode(event).decode())
    # An event of a kind that this release does not know is no obstacle.
    unknown = PendingEvent(subject="artcafe.events.client.renamed", body='{"event_id":"x","more":1}')
    async with open_database(own_stack) as store:
        await TenantTable(store, CLIENTS).delete(org.id, agent.id)
        item = item_of(org.id, deleted, [unknown, pending])
        await TenantTable(store, ACTIVITY).put(org.id, item, new=True)
    assert socket.closed is None
    own_stack.start("tenancy")
    assert await socket.wait_closed(within=20) == (4403, "deleted")
    await eventually(lambda: nc.is_closed)

    async def shown():
        return any(f["activity"]["activity_id"] == deleted.activity_id for f in board.pending("activity"))

    await eventually(shown)
    assert await bystander.send_and_receive("ping", "pong")
    await nothing_pending(own_stack)
    await wait_for_entries(org, 1, action="client.deleted")
