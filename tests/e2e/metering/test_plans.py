"""The limits of plans, and `artcafe plan set`."""

import asyncio
import subprocess
import sys
from pathlib import Path

from artcafe_common.plans import LIMITS, Plan
from support.actors import set_plan
from support.api_examples import UNKNOWN_ID
from support.waiting import eventually


async def test_client_limit_depends_on_the_plan(tenant):
    await set_plan(tenant, "free")
    assert (await tenant.call("GET", f"/accounts/{tenant.id}", 200))["plan"] == "free"
    for _ in range(LIMITS[Plan.FREE].clients):
        await tenant.create_client()
    response = await tenant.http.post("/clients", json={"name": "one too many"})
    assert (response.status_code, response.json()["code"]) == (409, "plan_limit")
    # A larger plan applies immediately.
    await set_plan(tenant, "basic")
    await tenant.create_client("one more")
    limits = (await tenant.call("GET", "/usage/metrics", 200))["limits"]
    assert limits["clients"] == 10
    # Of many concurrent requests, exactly as many succeed as the limit allows.
    responses = await asyncio.gather(
        *(tenant.http.post("/clients", json={"name": f"rush {n}"}) for n in range(20))
    )
    assert sorted(a.status_code for a in responses) == [201] * 6 + [409] * 14
    # Deleted clients do not count.
    client_id = (await tenant.call("GET", "/clients", 200))["clients"][0]["client_id"]
    await tenant.call("DELETE", f"/clients/{client_id}", 200)
    await tenant.create_client("in its place")


async def test_plan_set_rejects_an_unknown_organization(stack):
    command = [
        str(Path(sys.executable).parent / "artcafe"),
        "plan",
        "set",
        UNKNOWN_ID,
        "pro",
    ]
    result = await asyncio.to_thread(
        subprocess.run, command, env=stack.environ(), capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 4
    assert "account_not_found" in result.stderr
    assert "Traceback" not in result.stderr


async def test_new_clients_have_the_default_permissions(tenant):
    """User seeds, which allow heartbeats and subjects of any number of tokens."""
    client = await tenant.create_client()
    assert client.seed.startswith("SU")
    assert len(client.seed) == 58
    assert client.record["nkey_public"].startswith("U")
    assert client.record["permissions"] == {"publish": [">"], "subscribe": [">"], "streams": "read"}
    errors = []

    async def record_error(error):
        errors.append(str(error))

    nc = await client.connect_nats(error_cb=record_error)
    received = []

    async def record(message):
        received.append(message.subject)

    await nc.subscribe(">", cb=record)
    subjects = ["one", "two.tokens", f"{tenant.id}.x", f"{tenant.id}.x.y", f"tenant.{tenant.id}.x.y.z"]
    for subject in subjects:
        await nc.publish(subject, b"1")
    for subject in (
        f"_heartbeat.{tenant.id}.{client.id}",
        f"_HEARTBEAT.tenant.{tenant.id}.client.{client.id}",
        f"_PRESENCE.tenant.{tenant.id}.client.{client.id}",
        f"_METRICS.tenant.{tenant.id}.client.{client.id}",
    ):
        await nc.publish(subject, b"{}", reply="None")
    await nc.flush()
    await eventually(lambda: set(subjects) <= set(received))
    assert errors == []
