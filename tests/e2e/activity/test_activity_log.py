"""The activity log: which changes are recorded, and who can read them."""

from datetime import timedelta

import msgspec
import pytest

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.tenancy.activity import ActivityRecorded, ActivityType
from artcafe_common.storage.table import Table
from artcafe_common.storage.tenant_table import TenantTable
from artcafe_tenancy.outbox import to_item
from artcafe_tenancy.tables import ACTIVITY
from support.activity import build_entry, list_actions, list_entries, open_database, wait_for_entries
from support.actors import PASSWORD, User
from support.cleanup import close_after_test
from support.waiting import eventually, eventually_equals


async def test_every_change_is_recorded_with_actor_resource_and_origin(tenant):
    client = await tenant.create_client("first")
    await tenant.call("PUT", f"/clients/{client.id}", 200, json={"metadata": {"a": 1}})
    await tenant.call("POST", f"/clients/{client.id}/regenerate-nkey", 200)
    await tenant.call("DELETE", f"/clients/{client.id}", 200)
    channel = await tenant.create_channel("news")
    await tenant.call("DELETE", f"/channels/{channel['channel_id']}", 200)
    await tenant.call("PUT", f"/accounts/{tenant.id}", 200, json={"description": "d"})
    entries = await wait_for_entries(tenant, 9)
    log = [entry for entry in entries if entry["action"] != "channels.history_begun"]
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
    assert created["resource"] == f"client:{client.id}"
    assert created["actor"].startswith("user:")
    assert (created["type"], created["status"], created["ip"]) == ("client", "success", "127.0.0.1")
    assert created["metadata"] == {"name": "first"}
    assert "python-httpx" in created["user_agent"]
    assert log[2]["metadata"] == {"name": "news"}
    assert log[5]["metadata"]["changed"] == ["metadata"]
    assert client.seed not in str(log)


async def test_filters_pages_and_summary_agree(tenant):
    for number in range(5):
        await tenant.create_channel(f"c{number}")
    await tenant.create_client()
    # Five channels, one client, the organization, and the start of the channel history.
    entries = await wait_for_entries(tenant, 5 + 1 + 2)
    assert await list_entries(tenant, limit=2) == entries
    assert [e["type"] for e in await list_entries(tenant, type="channel", limit=2)] == ["channel"] * 6
    assert await list_entries(tenant, status="denied") == []
    summary = await tenant.call("GET", "/activity/summary", 200, params={"hours": 1})
    assert (summary["total"], summary["complete"]) == (8, True)
    assert summary["by_type"] == {"account": 1, "channel": 6, "client": 1}
    assert summary["by_action"]["channel.created"] == 5
    assert sum(hour["count"] for hour in summary["hourly"]) == 8


async def test_connects_and_disconnects_are_recorded(tenant):
    client = await tenant.create_client()
    socket = await client.connect_websocket()
    await socket.close()

    async def both_recorded():
        log = await list_entries(tenant, type="connection")
        return sorted(e["action"] for e in log) == ["client.connected", "client.disconnected"]

    await eventually(both_recorded)


async def test_logins_issued_keys_and_denied_access_are_recorded(tenant, other_tenant):
    password = {"email": tenant.owner.email, "password": PASSWORD}
    assert (await tenant.owner.http.post("/auth/login", json=password)).status_code == 200
    key = await tenant.call("POST", f"/accounts/generate-nkey/{tenant.id}", 201)
    for _ in range(30):
        response = await other_tenant.http.get("/clients", headers={"X-Tenant-Id": tenant.id})
        assert response.status_code == 403
    unknown = await other_tenant.http.get("/clients", headers={"X-Tenant-Id": "0" * 26})
    assert unknown.json() | {"request_id": ""} == response.json() | {"request_id": ""}

    async def all_recorded():
        log = await list_entries(tenant)
        expected = {"user.login", "account.key_issued", "access.denied"}
        return log if expected <= {e["action"] for e in log} else []

    log = await eventually(all_recorded)
    assert key["nkey_seed"] not in str(log)
    denied = [e for e in await list_entries(tenant, status="denied") if e["action"] == "access.denied"]
    # Denials are limited per minute.
    assert 1 <= len(denied) <= 10
    assert denied[0]["metadata"] == {"method": "GET", "path": "/api/v1/clients"}
    # The caller's own organization records nothing.
    assert [e["action"] for e in await list_entries(other_tenant) if e["type"] == "access"] == []


async def test_insufficient_role_is_recorded_as_denied_access(tenant):
    viewer = await User.sign_up(tenant.stack)
    user_id = (await viewer.http.get("/profile/me")).json()["user_id"]
    member = {"user_id": user_id, "role": "viewer"}
    await tenant.call("POST", f"/accounts/{tenant.id}/members", 201, json=member)
    # With only one organization, the header is optional.
    for headers in ({}, {"X-Tenant-Id": tenant.id}):
        response = await viewer.http.post("/clients", json={"name": "x"}, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    entries = await wait_for_entries(tenant, 2, type="access", action="access.denied")
    assert {entry["actor"] for entry in entries} == {f"user:{user_id}"}
    assert (await viewer.http.get("/activity/logs")).status_code == 200


async def test_dashboard_login_to_another_organization_is_recorded(tenant, other_tenant):
    class Intruder:
        id, owner, stack = tenant.id, other_tenant.owner, tenant.stack

    with pytest.raises(ConnectionError):
        await type(tenant).connect_dashboard(Intruder)
    (entry,) = await wait_for_entries(tenant, 1, type="access")
    assert entry["metadata"]["path"] == "/ws/dashboard"


async def test_login_is_recorded_in_each_organization_of_the_user(tenant):
    second = await tenant.owner.create_organization("Second")
    credentials = {"email": tenant.owner.email, "password": PASSWORD}
    assert (await tenant.owner.http.post("/auth/login", json=credentials)).status_code == 200
    wrong = {**credentials, "password": "wrong"}
    assert (await tenant.owner.http.post("/auth/login", json=wrong)).status_code == 401
    first = await wait_for_entries(tenant, 1, action="user.login")
    other = await wait_for_entries(second, 1, action="user.login")
    assert first[0]["activity_id"] != other[0]["activity_id"]
    assert first[0]["actor"] == other[0]["actor"]


async def test_duplicate_events_are_recorded_once(stack, tenant):
    """Also when the broker no longer knows the first event's id; here each event has a new one."""
    nc = await connect(stack.environ()["NATS_URL"], stack.directory / "keys/gateway.creds", name="gateway")
    close_after_test(nc, nc.close)
    bus = Bus(nc, service="gateway")
    user_id = (await tenant.call("GET", "/profile/me", 200))["user_id"]
    login = build_entry(type=ActivityType.AUTH, action="user.login", actor=f"user:{user_id}")
    for tenant_id in (tenant.id, ""):
        event = ActivityRecorded(tenant_id=tenant_id, activity=login)
        for _ in range(3):
            await bus.publish_encoded(event.subject, new_id(), msgspec.json.encode(event))
    # Events of organizations that do not exist are ignored.
    for unknown_id in (new_id(), "junk"):
        await bus.publish(ActivityRecorded(tenant_id=unknown_id, activity=build_entry()))
    await bus.publish(ActivityRecorded(tenant_id=tenant.id, activity=build_entry()))
    await wait_for_entries(tenant, 1, type="quota")
    await wait_for_entries(tenant, 2, type="auth")


async def test_entries_older_than_the_requested_hours_are_excluded(stack, tenant):
    async with open_database(stack) as store:
        for age in (timedelta(hours=2), timedelta(days=31)):
            item = to_item(tenant.id, build_entry(now() - age))
            await TenantTable(store, ACTIVITY).put(tenant.id, item, new=True)
    await eventually_equals(lambda: list_actions(tenant, hours=720), ["account.created", "quota.crossed"])
    assert await list_actions(tenant, hours=1) == ["account.created"]
    assert (await tenant.call("GET", "/activity/summary", 200))["total"] == 2


async def test_sparse_filter_reads_a_bounded_number_of_entries_per_page(separate_stack):
    """The matching entry is behind more entries than one request reads."""
    tenant = await (await User.sign_up(separate_stack)).create_organization()
    async with open_database(separate_stack) as store:
        later = now() + timedelta(seconds=5)
        table = Table(store, ACTIVITY)
        for _ in range(21):
            items = [to_item(tenant.id, build_entry(later)) for _ in range(100)]
            await store.batch_write([table.build_put(item) for item in items])
    await eventually_equals(
        lambda: summarize(tenant), ({"quota": 2100, "account": 1}, True), within=20, every=0.3
    )
    first = await tenant.call("GET", "/activity/logs", 200, params={"type": "account"})
    assert (first["logs"], first["next_cursor"] is None) == ([], False)
    assert [entry["action"] for entry in await list_entries(tenant, type="account")] == ["account.created"]


async def summarize(tenant):
    summary = await tenant.call("GET", "/activity/summary", 200)
    return summary["by_type"], summary["complete"]


async def test_dashboards_receive_new_entries(tenant, other_tenant):
    await tenant.create_channel()
    dashboard, other = await tenant.connect_dashboard(), await other_tenant.connect_dashboard()
    channel = await tenant.create_channel("shown")
    entry = (await dashboard.receive("activity"))["activity"]
    assert entry["action"] == "channel.created"
    assert entry["resource"] == f"channel:{channel['channel_id']}"
    client = await tenant.create_client()
    await dashboard.receive("activity")
    socket = await client.connect_websocket()
    entry = (await dashboard.receive("activity"))["activity"]
    assert (entry["action"], entry["ip"]) == ("client.connected", "127.0.0.1")
    await other_tenant.http.get("/clients", headers={"X-Tenant-Id": tenant.id})
    assert (await dashboard.receive("activity"))["activity"]["action"] == "access.denied"
    await other.assert_no_frame("activity")
    # Clients cannot subscribe to it.
    await socket.subscribe(subject=">")
    await tenant.create_channel()
    await dashboard.receive("activity")
    await socket.assert_no_frame("message")


async def test_another_organization_cannot_read_the_log(tenant, other_tenant):
    await tenant.create_client()
    await eventually_equals(lambda: list_actions(other_tenant), ["account.created"])
    page = await tenant.call("GET", "/activity/logs", 200, params={"limit": 1})
    response = await other_tenant.http.get("/activity/logs", params={"cursor": page["next_cursor"]})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")
    for path in ("/activity/logs", "/activity/summary"):
        response = await other_tenant.http.get(path, headers={"X-Tenant-Id": tenant.id})
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "query", ["hours=0", "hours=721", "type=x", "status=x", "limit=0", "x=1", "cursor=x"]
)
async def test_invalid_queries_are_rejected(tenant, query):
    response = await tenant.http.get(f"/activity/logs?{query}")
    assert response.status_code == 400
    assert response.json()["code"] in ("invalid_request", "invalid_cursor")
