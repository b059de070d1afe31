"""Refusals that an organization is told of: its own that tried too much, and strangers at its clients' doors."""

import asyncio
import json

import nats.errors
import pytest
from websockets.asyncio.client import connect

from artcafe_common.clock import new_id
from support.actors import Socket
from support.agents import LegacyAgent
from support.tokens import decode_claims
from support.waiting import eventually

FLOOD = 10_000


async def denials(tenant):
    """The refusals in an organization's log, oldest first."""
    page = await tenant.call("GET", "/activity/logs?type=access&limit=200", 200)
    assert page["next_cursor"] is None
    assert {entry["status"] for entry in page["logs"]} <= {"denied"}
    return page["logs"][::-1]


async def told(tenant, count):
    async def there():
        found = await denials(tenant)
        return found if len(found) >= count else None

    found = await eventually(there)
    assert len(found) == count, found
    return found


async def refused(url, proof=None, **options):
    socket = Socket(await connect(url, **options))
    if proof is not None:
        await socket.send(type="auth", **proof((await socket.receive("challenge"))["nonce"]))
    assert (await socket.receive("error"))["code"] == "authentication_failed"
    assert await socket.wait_closed() == (4401, "authentication_failed")


async def test_a_flood_of_forbidden_frames_is_one_entry(tenant, other_tenant):
    hostile, calm = await other_tenant.create_client("hostile"), await other_tenant.create_client("calm")
    socket, other = await hostile.connect_websocket(), await calm.connect_websocket()
    await other.subscribe(subject="still.here")
    foreign = f"tenant.{tenant.id}.x"
    frame = json.dumps({"type": "publish", "subject": foreign, "data": 1})
    for number in range(FLOOD):
        await socket.ws.send(frame)
        if number % 1000 == 0:
            await socket.send_and_receive("ping", "pong")
    await socket.send_and_receive("ping", "pong")
    assert {error["code"] for error in socket.pending("error")} == {"forbidden_subject"}
    assert len(socket.pending("error")) == FLOOD
    for kind in ("subscribe", "request", "unsubscribe"):
        await socket.send(type=kind, subject=foreign, data=1, id=kind)
        await socket.receive("error", id=kind)
    await socket.send(type="publish", subject="still.here", data="calm")
    await other.receive("message", data="calm")
    (entry,) = await told(other_tenant, 1)
    assert (entry["action"], entry["actor"], entry["resource"], entry["ip"], entry["metadata"]) == (
        "access.subject_denied",
        f"client:{hostile.id}",
        f"client:{hostile.id}",
        "127.0.0.1",
        {"frame": "publish", "subject": foreign},
    )
    # It is the business of the organization whose client it is.
    assert await denials(tenant) == []


async def test_agents_dashboards_and_permissions_are_told_of_too(tenant):
    few = await tenant.create_client("few", permissions={"publish": ["mine.>"], "subscribe": ["mine.>"]})
    legacy = await LegacyAgent.register(tenant)
    socket, agent, board = (
        await few.connect_websocket(),
        await legacy.connect_websocket(),
        await tenant.connect_dashboard(),
    )
    await socket.send(type="subscribe", subject="yours.x", id=1)
    await socket.receive("error", id=1, code="forbidden_subject")
    await agent.send(type="subscribe", subjects=["a", f"agents.{new_id()}.x"], id=1)
    await agent.receive("error", id=1, code="forbidden_subject")
    await board.send(type="subscribe_topic_preview", pattern="$SYS.>", id=1)
    await board.receive("error", id=1, code="forbidden_subject")
    # What is malformed or not there is no denial.
    await socket.send(type="subscribe", subject="a b", id=2)
    await socket.receive("error", id=2, code="bad_subject")
    await board.send(type="subscribe_channel", channel_id="none", id=2)
    await board.receive("error", id=2, code="channel_not_found")
    entries = await told(tenant, 3)
    assert {entry["actor"] for entry in entries} == {
        f"client:{few.id}",
        f"agent:{legacy.id}",
        f"user:{decode_claims(tenant.owner.token)['sub']}",
    }
    assert {entry["action"] for entry in entries} == {"access.subject_denied"}


async def test_a_wrong_key_is_told_to_the_clients_organization_only(tenant, other_tenant):
    """And one that proved to be somebody else's, to theirs: neither learns who the other is."""
    theirs, own = await tenant.create_client(), await other_tenant.create_client()
    live = await theirs.connect_websocket()
    url = theirs.connection["websocket_url"]
    for _ in range(3):
        await refused(url, own.proof)
    # Who is not there has nobody to tell.
    await refused(url.replace(theirs.id, new_id()), own.proof)
    (entry,) = await told(tenant, 1)
    assert (entry["action"], entry["actor"], entry["resource"], entry["ip"]) == (
        "access.login_denied",
        "",
        f"client:{theirs.id}",
        "127.0.0.1",
    )
    assert own.id not in str(entry)
    assert other_tenant.id not in str(entry)
    (entry,) = await told(other_tenant, 1)
    assert (entry["action"], entry["actor"]) == ("access.login_denied", f"client:{own.id}")
    assert theirs.id not in str(entry)
    assert tenant.id not in str(entry)
    assert await live.send_and_receive("ping", "pong")


async def test_a_key_that_was_replaced_and_a_suspended_client(tenant):
    replaced, suspended = await tenant.create_client("replaced"), await tenant.create_client("suspended")
    await tenant.call("POST", f"/clients/{replaced.id}/regenerate-nkey", 200)
    await tenant.call("PUT", f"/clients/{suspended.id}", 200, json={"status": "suspended"})
    await refused(replaced.connection["websocket_url"], replaced.proof)
    # Nothing but the key says who knocks at the broker; one that nobody has any more says nothing.
    for agent in (suspended, replaced):
        with pytest.raises(nats.errors.Error):
            await agent.connect_nats(max_reconnect_attempts=0, connect_timeout=2)
    entries = await told(tenant, 2)
    assert {(entry["actor"], entry["resource"]) for entry in entries} == {
        ("", f"client:{replaced.id}"),
        (f"client:{suspended.id}", f"client:{suspended.id}"),
    }
    assert {entry["ip"] for entry in entries} == {"127.0.0.1"}


async def test_a_stranger_at_an_agents_door(tenant, other_tenant):
    theirs, own = await LegacyAgent.register(tenant), await LegacyAgent.register(other_tenant)
    url = f"{theirs.root}/ws/agent/{theirs.id}"
    await refused(f"{url}?challenge=ch_x&signature=x")
    await refused(url, additional_headers={"Authorization": f"Bearer {await own.request_token()}"})
    (entry,) = await told(tenant, 1)
    assert (entry["actor"], entry["resource"]) == ("", f"agent:{theirs.id}")
    (entry,) = await told(other_tenant, 1)
    assert entry["actor"] == f"agent:{own.id}"
    assert theirs.id not in str(entry)


async def test_knocking_at_nobodys_door_is_told_to_nobody_and_holds_nobody_up(tenant):
    agent = await tenant.create_client()
    url = agent.connection["websocket_url"].replace(agent.id, "{}")
    await asyncio.gather(*(refused(f"{url.format(new_id())}?nonce=x&signature=y") for _ in range(30)))
    await refused(f"{url.format('x' * 5000)}?nonce=x&signature=y")
    assert await (await agent.connect_websocket()).send_and_receive("ping", "pong")
    assert await denials(tenant) == []
