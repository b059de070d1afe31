"""`artcafe migrate-agents`: legacy agents become clients."""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from artcafe_common.broker.nkeys import KeyKind, KeyPair, create_key_pair
from support.actors import Client
from support.agents import LegacyAgent, list_ids
from support.waiting import eventually_equals


async def migrate(tenant, *options):
    result = await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).parent / "artcafe"), "migrate-agents", tenant.id, *map(str, options)],
        env=tenant.stack.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in result.stderr
    return result


async def test_migration_converts_agents_and_resumes_an_interrupted_run(tenant, other_tenant, tmp_path):
    one = await LegacyAgent.register(tenant, name="One", metadata={"zone": "b"}, description="the first")
    other = await LegacyAgent.register(tenant, name="Other")
    twin = await LegacyAgent.register(tenant, name="Twin")
    foreign = await LegacyAgent.register(other_tenant, name="One")
    await tenant.create_client("twin")
    await tenant.call("PUT", f"/agents/{other.id}", 200, json={"status": "suspended"})
    live = await one.connect_websocket()
    await eventually_equals(lambda: list_ids(tenant), [one.id, other.id, twin.id])
    seeds = tmp_path / "seeds.jsonl"
    # Without --apply it changes nothing.
    dry_run = await migrate(tenant, "--seeds", seeds)
    assert dry_run.returncode == 0
    assert one.id in dry_run.stdout
    assert not seeds.exists()
    assert len(await list_ids(tenant)) == 3
    # A run was interrupted after it wrote the first seed, in the middle of the second line.
    pair = create_key_pair(KeyKind.USER)
    written = {"tenant_id": tenant.id, "client_id": one.id, "name": "One"}
    written |= {"nkey_public": pair.public, "nkey_seed": pair.seed}
    seeds.write_text(json.dumps(written) + '\n{"tenant_id": "')
    result = await migrate(tenant, "--seeds", seeds, "--apply")
    assert result.returncode == 1
    assert "name_taken" in result.stdout
    assert await live.wait_closed() == (4403, "deleted")
    written_seeds = {}
    for line in seeds.read_text().splitlines():
        with contextlib.suppress(ValueError):
            written_seeds[json.loads(line)["client_id"]] = json.loads(line)["nkey_seed"]
    assert written_seeds.keys() == {one.id, other.id, twin.id}
    assert written_seeds[one.id] == pair.seed
    assert pair.seed not in result.stdout
    client = await tenant.call("GET", f"/clients/{one.id}", 200)
    assert (client["name"], client["nkey_public"]) == ("One", pair.public)
    assert client["metadata"] == {"zone": "b", "description": "the first"}
    assert (await tenant.call("GET", f"/clients/{other.id}", 200))["status"] == "suspended"
    await eventually_equals(lambda: list_ids(tenant), [twin.id])
    template = await tenant.call("POST", "/clients", 201, json={"name": "new"})
    migrated = Client(tenant, {**template, "client": client, "nkey_seed": pair.seed})
    migrated.connection = {**migrated.connection, "websocket_url": f"{one.root}/ws/client/{one.id}"}
    assert (await migrated.connect_websocket()).welcome["client_id"] == one.id
    await migrated.connect_nats()
    # After a rename there is no conflict, and the same command migrates the rest.
    await tenant.call("PUT", f"/agents/{twin.id}", 200, json={"name": "Twin the agent"})
    result = await migrate(tenant, "--seeds", seeds, "--apply")
    assert result.returncode == 0
    await eventually_equals(lambda: list_ids(tenant), [])
    public = KeyPair(written_seeds[twin.id]).public
    assert (await tenant.call("GET", f"/clients/{twin.id}", 200))["nkey_public"] == public
    assert (await migrate(tenant, "--seeds", seeds, "--apply")).returncode == 0
    # Other organizations are unchanged.
    assert (await other_tenant.call("GET", f"/agents/{foreign.id}", 200))["name"] == "One"
