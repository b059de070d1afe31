"""`artcafe migrate-agents`: legacy agents become clients."""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from artcafe_common.broker.nkeys import KeyKind, KeyPair, create
from support.actors import Client
from support.agents import LegacyAgent


async def migrate(tenant, *options):
    done = await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).parent / "artcafe"), "migrate-agents", tenant.id, *map(str, options)],
        env=tenant.stack.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


async def test_agents_become_clients_and_a_broken_run_goes_on(tenant, other_tenant, tmp_path):
    one = await LegacyAgent.register(tenant, name="One", metadata={"zone": "b"}, description="the first")
    other = await LegacyAgent.register(tenant, name="Other")
    twin = await LegacyAgent.register(tenant, name="Twin")
    foreign = await LegacyAgent.register(other_tenant, name="One")
    await tenant.create_client("twin")
    await tenant.call("PUT", f"/agents/{other.id}", 200, json={"status": "suspended"})
    live = await one.connect_websocket()
    seeds = tmp_path / "seeds.jsonl"
    # By default it only looks.
    looked = await migrate(tenant, "--seeds", seeds)
    assert looked.returncode == 0
    assert one.id in looked.stdout
    assert not seeds.exists()
    assert len((await tenant.call("GET", "/agents", 200))["agents"]) == 3
    # A run that ended between noting the first seed and using it, and in the middle of a line.
    pair = create(KeyKind.USER)
    noted = {"tenant_id": tenant.id, "client_id": one.id, "name": "One"}
    noted |= {"nkey_public": pair.public, "nkey_seed": pair.seed}
    seeds.write_text(json.dumps(noted) + '\n{"tenant_id": "')
    done = await migrate(tenant, "--seeds", seeds, "--apply")
    assert done.returncode == 1
    assert "name_taken" in done.stdout
    assert await live.wait_closed() == (4403, "deleted")
    found = {}
    for line in seeds.read_text().splitlines():
        with contextlib.suppress(ValueError):
            found[json.loads(line)["client_id"]] = json.loads(line)["nkey_seed"]
    assert found.keys() == {one.id, other.id, twin.id}
    assert found[one.id] == pair.seed
    assert pair.seed not in done.stdout
    client = await tenant.call("GET", f"/clients/{one.id}", 200)
    assert (client["name"], client["nkey_public"]) == ("One", pair.public)
    assert client["metadata"] == {"zone": "b", "description": "the first"}
    assert (await tenant.call("GET", f"/clients/{other.id}", 200))["status"] == "suspended"
    assert [a["agent_id"] for a in (await tenant.call("GET", "/agents", 200))["agents"]] == [twin.id]
    made = await tenant.call("POST", "/clients", 201, json={"name": "new"})
    now = Client(tenant, {**made, "client": client, "nkey_seed": pair.seed})
    now.connection = {**now.connection, "websocket_url": f"{one.root}/ws/client/{one.id}"}
    assert (await now.connect_websocket()).welcome["client_id"] == one.id
    await now.connect_nats()
    # The name's other bearer steps aside, and the same command does the rest.
    await tenant.call("PUT", f"/agents/{twin.id}", 200, json={"name": "Twin the agent"})
    done = await migrate(tenant, "--seeds", seeds, "--apply")
    assert done.returncode == 0
    assert (await tenant.call("GET", "/agents", 200))["agents"] == []
    public = KeyPair(found[twin.id]).public
    assert (await tenant.call("GET", f"/clients/{twin.id}", 200))["nkey_public"] == public
    assert (await migrate(tenant, "--seeds", seeds, "--apply")).returncode == 0
    # Nobody else was touched.
    assert (await other_tenant.call("GET", f"/agents/{foreign.id}", 200))["name"] == "One"
