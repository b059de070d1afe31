"""What a plan allows, set by the operator's one command and enforced at once."""

import asyncio
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from artcafe_common.plans import BRIDGE_ALLOWANCE, LIMITS, Plan
from support.actors import set_plan
from support.waiting import eventually


async def test_counts_of_the_plan_are_the_plans_own(tenant):
    await set_plan(tenant, "free")
    assert (await tenant.call("GET", f"/accounts/{tenant.id}", 200))["plan"] == "free"
    for _ in range(LIMITS[Plan.FREE].clients):
        await tenant.create_client()
    refused = await tenant.http.post("/clients", json={"name": "one too many"})
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_limit")
    # Not every plan is capped alike, and the change is felt at once.
    await set_plan(tenant, "basic")
    await tenant.create_client("one more")
    limits = (await tenant.call("GET", "/usage/metrics", 200))["limits"]
    assert limits["clients"] == 10
    # Twenty at once for the places that are left: as many win as there are places.
    answers = await asyncio.gather(
        *(tenant.http.post("/clients", json={"name": f"rush {n}"}) for n in range(20))
    )
    assert sorted(a.status_code for a in answers) == [201] * 6 + [409] * 14
    # Deleting makes room.
    some = (await tenant.call("GET", "/clients", 200))["clients"][0]["client_id"]
    await tenant.call("DELETE", f"/clients/{some}", 200)
    await tenant.create_client("in its place")


async def test_the_broker_enforces_the_plans_connections(tenant):
    agent = await tenant.create_client()
    await set_plan(tenant, "free")
    allowed = LIMITS[Plan.FREE].connections + BRIDGE_ALLOWANCE
    connections = [await agent.connect_nats() for _ in range(allowed)]
    with pytest.raises(nats.errors.Error, match="maximum account active connections"):
        await agent.connect_nats()
    await set_plan(tenant, "enterprise")
    await agent.connect_nats()
    await connections[0].flush()


async def test_an_unknown_organization_is_told_to_the_operator(stack):
    command = [
        str(Path(sys.executable).parent / "artcafe"),
        "plan",
        "set",
        "01JADAR0000000000000000000",
        "pro",
    ]
    done = await asyncio.to_thread(
        subprocess.run, command, env=stack.environ(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 4
    assert "account_not_found" in done.stderr
    assert "Traceback" not in done.stderr


async def test_new_clients_can_do_what_users_expect_by_default(tenant):
    """Seeds are user seeds; heartbeats and subjects of any number of tokens are allowed."""
    agent = await tenant.create_client()
    assert agent.seed.startswith("SU")
    assert len(agent.seed) == 58
    assert agent.record["nkey_public"].startswith("U")
    problems = []

    async def note(error):
        problems.append(str(error))

    nc = await agent.connect_nats(error_cb=note)
    heard = []

    async def hear(message):
        heard.append(message.subject)

    await nc.subscribe(">", cb=hear)
    subjects = ["one", "two.tokens", f"{tenant.id}.x", f"{tenant.id}.x.y", f"tenant.{tenant.id}.x.y.z"]
    for subject in subjects:
        await nc.publish(subject, b"1")
    for subject in (
        f"_heartbeat.{tenant.id}.{agent.id}",
        f"_HEARTBEAT.tenant.{tenant.id}.client.{agent.id}",
        f"_PRESENCE.tenant.{tenant.id}.client.{agent.id}",
        f"_METRICS.tenant.{tenant.id}.client.{agent.id}",
    ):
        await nc.publish(subject, b"{}", reply="None")
    await nc.flush()
    await eventually(lambda: set(subjects) <= set(heard))
    assert problems == []
