"""What is used of a plan, and the plans themselves."""

from artcafe_common.plans import LIMITS, Plan
from support.actors import set_plan
from support.waiting import eventually


async def test_current_usage_counts_what_the_plan_limits(tenant):
    await set_plan(tenant, "free")
    # A new organization reserves storage for its channels with the first message.
    client = await tenant.create_client()
    await tenant.create_channel()
    await client.connect_websocket()
    await client.connect_nats()
    body = {"name": "orders", "pattern": "orders.>", "retention": {"max_bytes": 1024**2}}
    before = (await tenant.call("GET", "/usage/current", 200))["storage_bytes"]["used"]
    await tenant.call("POST", "/subjects", 201, json=body)

    async def counted():
        usage = await tenant.call("GET", "/usage/current", 200)
        return usage["connections"] == {"used": 2, "limit": 5, "percent": 40.0}

    await eventually(counted)
    usage = await tenant.call("GET", "/usage/current", 200)
    assert usage["clients"] == {"used": 1, "limit": 3, "percent": 33.33}
    assert usage["channels"] == {"used": 1, "limit": 10, "percent": 10.0}
    assert usage["storage_bytes"]["limit"] == LIMITS[Plan.FREE].storage_bytes
    assert usage["storage_bytes"]["used"] >= before + 1024**2
    await tenant.call("DELETE", f"/clients/{client.id}", 200)

    async def ended():
        usage = await tenant.call("GET", "/usage/current", 200)
        return usage["connections"]["used"] == usage["clients"]["used"] == 0

    await eventually(ended)


async def test_usage_by_client_and_channel_includes_deleted_ones(tenant, other_tenant):
    client, channel = await tenant.create_client(), await tenant.create_channel()
    socket = await client.connect_websocket()
    for number in range(3):
        await socket.send(type="publish", channel=channel["channel_id"], data=number)

    async def both_counted():
        usages = [
            await tenant.call("GET", f"/usage/{kind}/{each}", 200)
            for kind, each in (("clients", client.id), ("channels", channel["channel_id"]))
        ]
        return [usage["totals"]["messages"] for usage in usages] == [3, 3]

    await eventually(both_counted)
    stats = await tenant.call("GET", "/usage/local/stats", 200)
    assert sum(minute["messages"] for minute in stats["minutes"]) == 3
    await tenant.call("DELETE", f"/clients/{client.id}", 200)
    usage = await tenant.call("GET", f"/usage/clients/{client.id}", 200)
    assert usage["daily"][-1]["messages"] + usage["daily"][-2]["messages"] == 3
    foreign = await other_tenant.call("GET", f"/usage/clients/{client.id}", 200)
    assert foreign["totals"]["messages"] == 0
    await tenant.call("GET", f"/usage/clients/{client.id}?start_date=2020-01-01", 400)


async def test_plans_are_listed_with_their_limits(tenant):
    plans = (await tenant.call("GET", "/plans", 200))["plans"]
    assert [plan["plan"] for plan in plans] == ["free", "basic", "pro", "enterprise"]
    assert plans[0]["limits"]["messages_per_month"] == 10_000
    assert plans[-1]["limits"]["connections"] is None
