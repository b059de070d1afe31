"""Denied access in the activity log: forbidden subjects, and failed logins."""

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


async def list_denials(tenant):
    """The entries about denied access, oldest first."""
    page = await tenant.call("GET", "/activity/logs?type=access&limit=200", 200)
    assert page["next_cursor"] is None
    assert {entry["status"] for entry in page["logs"]} <= {"denied"}
    return page["logs"][::-1]


async def wait_for_denials(tenant, count):
    async def find():
        entries = await list_denials(tenant)
        return entries if len(entries) >= count else None

    entries = await eventually(find)
    assert len(entries) == count, entries
    return entries


async def assert_login_denied(url, sign_nonce=None, **options):
    """Connect; with `sign_nonce`, also answer the challenge."""
    socket = Socket(await connect(url, **options))
    if sign_nonce is not None:
        await socket.send(type="auth", **sign_nonce((await socket.receive("challenge"))["nonce"]))
    assert (await socket.receive("error"))["code"] == "authentication_failed"
    assert await socket.wait_closed() == (4401, "authentication_failed")


async def test_many_forbidden_frames_are_recorded_once(tenant, other_tenant):
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
    (entry,) = await wait_for_denials(other_tenant, 1)
    assert (entry["action"], entry["actor"], entry["resource"], entry["ip"], entry["metadata"]) == (
        "access.subject_denied",
        f"client:{hostile.id}",
        f"client:{hostile.id}",
        "127.0.0.1",
        {"frame": "publish", "subject": foreign},
    )
    # Only the organization of the client records it.
    assert await list_denials(tenant) == []


async def test_denials_of_clients_agents_and_dashboards_are_recorded(tenant):
    restricted = await tenant.create_client(
        "restricted", permissions={"publish": ["mine.>"], "subscribe": ["mine.>"]}
    )
    legacy = await LegacyAgent.register(tenant)
    socket, agent, dashboard = (
        await restricted.connect_websocket(),
        await legacy.connect_websocket(),
        await tenant.connect_dashboard(),
    )
    await socket.send(type="subscribe", subject="yours.x", id=1)
    await socket.receive("error", id=1, code="forbidden_subject")
    await agent.send(type="subscribe", subjects=["a", f"agents.{new_id()}.x"], id=1)
    await agent.receive("error", id=1, code="forbidden_subject")
    await dashboard.send(type="subscribe_topic_preview", pattern="$SYS.>", id=1)
    await dashboard.receive("error", id=1, code="forbidden_subject")
    # Malformed subjects and unknown channels are not denials.
    await socket.send(type="subscribe", subject="a b", id=2)
    await socket.receive("error", id=2, code="bad_subject")
    await dashboard.send(type="subscribe_channel", channel_id="none", id=2)
    await dashboard.receive("error", id=2, code="channel_not_found")
    entries = await wait_for_denials(tenant, 3)
    assert {entry["actor"] for entry in entries} == {
        f"client:{restricted.id}",
        f"agent:{legacy.id}",
        f"user:{decode_claims(tenant.owner.token)['sub']}",
    }
    assert {entry["action"] for entry in entries} == {"access.subject_denied"}


async def test_login_with_a_foreign_key_is_recorded_in_both_organizations(tenant, other_tenant):
    """Each entry contains only ids of its own organization."""
    target, own = await tenant.create_client(), await other_tenant.create_client()
    live = await target.connect_websocket()
    url = target.connection["websocket_url"]
    for _ in range(3):
        await assert_login_denied(url, own.sign_nonce)
    # A login to an unknown client is recorded in no organization.
    await assert_login_denied(url.replace(target.id, new_id()), own.sign_nonce)
    (entry,) = await wait_for_denials(tenant, 1)
    assert (entry["action"], entry["actor"], entry["resource"], entry["ip"]) == (
        "access.login_denied",
        "",
        f"client:{target.id}",
        "127.0.0.1",
    )
    assert own.id not in str(entry)
    assert other_tenant.id not in str(entry)
    (entry,) = await wait_for_denials(other_tenant, 1)
    assert (entry["action"], entry["actor"]) == ("access.login_denied", f"client:{own.id}")
    assert target.id not in str(entry)
    assert tenant.id not in str(entry)
    assert await live.send_and_receive("ping", "pong")


async def test_logins_with_a_replaced_key_and_of_a_suspended_client_are_recorded(tenant):
    replaced, suspended = await tenant.create_client("replaced"), await tenant.create_client("suspended")
    await tenant.call("POST", f"/clients/{replaced.id}/regenerate-nkey", 200)
    await tenant.call("PUT", f"/clients/{suspended.id}", 200, json={"status": "suspended"})
    await assert_login_denied(replaced.connection["websocket_url"], replaced.sign_nonce)
    # At the broker, only the key identifies the client; a replaced key identifies none.
    for client in (suspended, replaced):
        with pytest.raises(nats.errors.Error):
            await client.connect_nats(max_reconnect_attempts=0, connect_timeout=2)
    entries = await wait_for_denials(tenant, 2)
    assert {(entry["actor"], entry["resource"]) for entry in entries} == {
        ("", f"client:{replaced.id}"),
        (f"client:{suspended.id}", f"client:{suspended.id}"),
    }
    assert {entry["ip"] for entry in entries} == {"127.0.0.1"}


async def test_failed_logins_at_an_agent_are_recorded(tenant, other_tenant):
    target, own = await LegacyAgent.register(tenant), await LegacyAgent.register(other_tenant)
    url = f"{target.root}/ws/agent/{target.id}"
    await assert_login_denied(f"{url}?challenge=ch_x&signature=x")
    await assert_login_denied(
        url, additional_headers={"Authorization": f"Bearer {await own.request_token()}"}
    )
    (entry,) = await wait_for_denials(tenant, 1)
    assert (entry["actor"], entry["resource"]) == ("", f"agent:{target.id}")
    (entry,) = await wait_for_denials(other_tenant, 1)
    assert entry["actor"] == f"agent:{own.id}"
    assert target.id not in str(entry)


async def test_logins_to_unknown_clients_are_not_recorded_and_do_not_block_others(tenant):
    client = await tenant.create_client()
    url = client.connection["websocket_url"].replace(client.id, "{}")
    await asyncio.gather(
        *(assert_login_denied(f"{url.format(new_id())}?nonce=x&signature=y") for _ in range(30))
    )
    await assert_login_denied(f"{url.format('x' * 5000)}?nonce=x&signature=y")
    assert await (await client.connect_websocket()).send_and_receive("ping", "pong")
    assert await list_denials(tenant) == []
