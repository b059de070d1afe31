"""The activity log: every change once, whatever is killed meanwhile."""

import asyncio

import httpx
import pytest

from artcafe_common.dev.stack import Stack
from support.stack import free_ports
from support.world import PASSWORD, Person, eventually


async def entries(tenant, **query):
    """The whole log of the last day, page by page."""
    found, cursor = [], None
    while True:
        page = await tenant.call(
            "GET", "/activity/logs", 200, params={**query, **({"cursor": cursor} if cursor else {})}
        )
        found += page["logs"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_every_change_is_an_entry_with_who_did_what_from_where(tenant):
    agent = await tenant.client("first")
    await tenant.call("PUT", f"/clients/{agent.id}", 200, json={"metadata": {"a": 1}})
    await tenant.call("POST", f"/clients/{agent.id}/regenerate-nkey", 200)
    await tenant.call("DELETE", f"/clients/{agent.id}", 200)
    channel = await tenant.channel("news")
    await tenant.call("DELETE", f"/channels/{channel['channel_id']}", 200)
    await tenant.call("PUT", f"/accounts/{tenant.id}", 200, json={"description": "d"})
    log = await entries(tenant)
    assert [entry["action"] for entry in log] == [
        "account.updated",
        "channel.deleted",
        "channel.created",
        "client.deleted",
        "client.key_regenerated",
        "client.updated",
        "client.created",
        "account.created",
    ]
    created = log[-2]
    assert created["resource"] == f"client:{agent.id}"
    assert created["actor"].startswith("user:")
    assert (created["type"], created["status"], created["ip"]) == ("client", "success", "127.0.0.1")
    assert created["metadata"] == {"name": "first"}
    assert "python-httpx" in created["user_agent"]
    assert log[2]["metadata"] == {"name": "news"}
    assert log[5]["metadata"]["changed"] == ["metadata"]
    assert agent.seed not in str(log)


async def test_filters_pages_and_the_summary_agree(tenant):
    for number in range(5):
        await tenant.channel(f"c{number}")
    await tenant.client()
    everything = await entries(tenant)
    assert len(everything) == 7
    assert await entries(tenant, limit=2) == everything
    assert [e["type"] for e in await entries(tenant, type="channel", limit=2)] == ["channel"] * 5
    assert await entries(tenant, status="denied") == []
    summary = await tenant.call("GET", "/activity/summary", 200, params={"hours": 1})
    assert (summary["total"], summary["complete"]) == (7, True)
    assert summary["by_type"] == {"account": 1, "channel": 5, "client": 1}
    assert summary["by_action"]["channel.created"] == 5
    assert sum(hour["count"] for hour in summary["hourly"]) == 7


async def test_clients_that_come_and_go_are_in_the_log(tenant):
    agent = await tenant.client()
    socket = await agent.websocket()
    await socket.close()

    async def both():
        log = await entries(tenant, type="connection")
        return sorted(e["action"] for e in log) == ["client.connected", "client.disconnected"]

    await eventually(both)


async def test_logins_keys_and_denied_access_are_in_the_log(tenant, stranger):
    password = {"email": tenant.owner.email, "password": PASSWORD}
    assert (await tenant.owner.http.post("/auth/login", json=password)).status_code == 200
    key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    for _ in range(30):
        answer = await stranger.http.get("/clients", headers={"X-Tenant-Id": tenant.id})
        assert answer.status_code == 403
    nobody = await stranger.http.get("/clients", headers={"X-Tenant-Id": "0" * 26})
    assert nobody.json() | {"request_id": ""} == answer.json() | {"request_id": ""}

    async def all_there():
        log = await entries(tenant)
        return (
            log if {"user.login", "account.key_issued", "access.denied"} <= {e["action"] for e in log} else []
        )

    log = await eventually(all_there)
    assert key["nkey_seed"] not in str(log)
    denied = [e for e in await entries(tenant, status="denied") if e["action"] == "access.denied"]
    # So many a minute, and no more.
    assert 1 <= len(denied) <= 10
    assert denied[0]["metadata"] == {"method": "GET", "path": "/api/v1/clients"}
    # Who asked learns nothing of it.
    assert [e["action"] for e in await entries(stranger) if e["type"] == "access"] == []


async def test_dashboards_are_shown_what_happens(tenant, stranger):
    board, other = await tenant.dashboard(), await stranger.dashboard()
    channel = await tenant.channel("shown")
    shown = await board.take("activity")
    assert shown["activity"]["action"] == "channel.created"
    assert shown["activity"]["resource"] == f"channel:{channel['channel_id']}"
    await other.nothing("activity")


async def test_another_organization_sees_nothing_of_it(tenant, stranger):
    await tenant.client()
    page = await tenant.call("GET", "/activity/logs", 200, params={"limit": 1})
    assert [e["action"] for e in await entries(stranger)] == ["account.created"]
    answer = await stranger.http.get("/activity/logs", params={"cursor": page["next_cursor"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")
    for path in ("/activity/logs", "/activity/summary"):
        answer = await stranger.http.get(path, headers={"X-Tenant-Id": tenant.id})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "query", ["hours=0", "hours=721", "type=x", "status=x", "limit=0", "x=1", "cursor=x"]
)
async def test_bad_questions_are_refused(tenant, query):
    answer = await tenant.http.get(f"/activity/logs?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid_request", "invalid_cursor")


@pytest.fixture
async def own_stack(tmp_path):
    running = Stack(tmp_path / "stack", free_ports())
    try:
        await running.up()
        yield running
    finally:
        await running.down()


async def test_a_tenancy_that_is_killed_again_and_again_loses_no_entry_and_no_event(own_stack):
    org = await (await Person.sign_up(own_stack)).found()
    doomed = await org.client("doomed")
    socket = await doomed.websocket()
    done = asyncio.Event()
    made = set()

    async def work():
        number = 0
        while not done.is_set():
            number += 1
            try:
                answer = await org.http.post("/channels", json={"name": f"c{number}"})
            except httpx.HTTPError:
                continue
            # Only what was acknowledged must be there; what was not may be.
            if answer.status_code == 201:
                made.add(answer.json()["channel_id"])

    working = asyncio.create_task(work())
    for _ in range(5):
        await asyncio.sleep(0.5)
        killed = own_stack.supervisor.kill("tenancy")
        await eventually(lambda before=killed: own_stack.supervisor.pid("tenancy") not in (None, before))
    done.set()
    await working

    async def deleted():
        answer = await org.http.delete(f"/clients/{doomed.id}")
        return answer.status_code in (200, 404)

    await eventually(deleted, within=20)
    assert await socket.ended(10) == (4403, "deleted")
    log = await entries(org, type="channel", limit=200)
    told = [entry["resource"].partition(":")[2] for entry in log]
    assert len(told) == len(set(told))
    assert made <= set(told)
    kept = await org.call("GET", "/channels?limit=200", 200)
    # A change is there exactly if its entry is.
    assert {channel["channel_id"] for channel in kept["channels"]} == set(told)
