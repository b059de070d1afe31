"""Usage and activity as CSV and JSON Lines, and the platform's state as people see it."""

import csv
import io
import json

from support.activity import list_entries
from support.waiting import eventually, eventually_equals


async def read_csv(tenant, path):
    response = await tenant.http.get(path, headers={"Accept": "text/csv"})
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_usage_is_csv_for_who_asks(tenant):
    await tenant.call("GET", "/clients/unknown", 404)
    days = await read_csv(tenant, "/usage/metrics")
    daily = (await tenant.call("GET", "/usage/metrics", 200))["daily"]
    assert [list(row) for row in days] == [list(day) for day in daily]
    assert [row["date"] for row in days] == [day["date"] for day in daily]
    assert len(await read_csv(tenant, "/usage/hourly?hours=3")) == 3
    assert await read_csv(tenant, "/usage/top?by=channel") == []

    async def refused():
        return [(row["code"], row["count"]) for row in await read_csv(tenant, "/usage/refusals")]

    assert await eventually(refused) == [("client_not_found", "1")]
    # JSON, unless CSV is preferred.
    for accept in ("*/*", "application/json, text/csv;q=0.5", "text/html"):
        response = await tenant.http.get("/usage/hourly", headers={"Accept": accept})
        assert len(response.json()["hourly"]) == 24


async def test_activity_is_exported(tenant, other_tenant):
    await tenant.create_channel("=1+1")
    names = [f"channel {number}" for number in range(3)]
    for name in names:
        await tenant.create_channel(name)
    log = []

    async def export():
        nonlocal log
        log = await list_entries(tenant, type="channel")
        assert len([entry for entry in log if entry["action"] == "channel.created"]) == 4
        lines = (await tenant.http.get("/activity/export?type=channel")).text.splitlines()
        return [json.loads(line) for line in lines] == log

    await eventually(export)
    rows = await read_csv(tenant, "/activity/export?type=channel")
    assert [row["activity_id"] for row in rows] == [entry["activity_id"] for entry in log]
    assert json.loads(rows[0]["metadata"]) == log[0]["metadata"]
    assert list(rows[0]) == list(log[0])
    assert (await other_tenant.http.get("/activity/export?type=channel")).text == ""
    assert (await tenant.http.get("/activity/export?cursor=x")).status_code == 400


async def test_platform_state_has_no_reasons_and_addresses(tenant):
    state = await tenant.call("GET", "/status", 200)
    assert state["status"] == "ok"
    assert {each["name"] for each in state["services"]} == {
        *("gateway", "identity", "tenancy", "presence", "metering")
    }
    assert {"dynamodb", "nats", "redis"} <= {each["name"] for each in state["stores"]}
    assert {each["status"] for each in state["services"] + state["stores"]} == {"ok"}
    assert (state["history"], state["findings"]) == ("none", [])
    await tenant.create_channel()

    async def history():
        return (await tenant.call("GET", "/status", 200))["history"]

    await eventually_equals(history, "ok")
