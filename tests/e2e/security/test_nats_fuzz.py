"""Fuzz tests of the broker's side: what a client writes over direct NATS happens to nobody else.

One organization attacks; two others measure: their messages arrive, once and in order, and no others do. The attackers
and those that measure are processes of their own, so that they share only the machine with the broker.
"""

import asyncio
import os
import re

import psutil
import pytest

from support.actors import User
from support.json_process import JsonProcess

# `make fuzz` sets a higher number.
INPUTS = int(os.environ.get("ARTCAFE_TEST_EXAMPLES", "10")) * 1000
SEED = int(os.environ.get("ARTCAFE_TEST_SEED", "1"))
# Inputs a second of all attackers; 0 for as many as they can write.
RATE = float(os.environ.get("ARTCAFE_TEST_RATE", "0"))
ATTACKERS = 4
IS_LONG = INPUTS > 10_000
# The attack lasts at most this long; `make fuzz` writes all inputs.
MAX_S = 3000 if IS_LONG else 12
IDLE_S = 20.0 if IS_LONG else 2.0


class Services:
    """The processes and logs of the platform."""

    def __init__(self, stack):
        self._stack = stack
        self._pids = self._read_pids()
        self._sizes = {path: path.stat().st_size for path in self._logs()}

    def _read_pids(self):
        names = ("nats", "gateway", "identity", "tenancy", "presence", "metering")
        return {name: psutil.Process(self._stack.supervisor.pid(name)).pid for name in names}

    def _logs(self):
        names = ("gateway", "identity", "tenancy", "presence", "metering")
        return [self._stack.directory / f"logs/{name}.log" for name in names]

    def assert_undisturbed(self):
        """No process has restarted, no service lost the broker, and none logged an error."""
        assert self._read_pids() == self._pids
        for path in self._logs():
            written = path.read_text()[self._sizes[path] :]
            odd = re.findall(
                r'.*(?:"level": "(?:error|critical)"|Traceback|nats_disconnected|job_failed).*', written
            )
            assert odd == [], path.name


def created(client):
    """A client as the API returned it, for another process."""
    return {"client": client.record, "nkey_seed": client.seed, "connection": client.connection}


async def create_attackers(tenant, victim_tenant, victim):
    """The clients that attack: the first never logs in, the last may publish only to subjects of its own."""
    channel = await tenant.create_channel()
    # Whoever is not logged in is cut off at the first input, so most of them would be connections.
    shares = [INPUTS // 50, *[INPUTS // (ATTACKERS - 1)] * (ATTACKERS - 1)]
    attackers = []
    for number, share in enumerate(shares):
        narrowed = {"permissions": {"publish": ["fuzz.>"], "subscribe": ["fuzz.>"]}}
        client = await tenant.create_client(**(narrowed if number == ATTACKERS - 1 else {}))
        names = {
            "tid": tenant.id,
            "client": client.id,
            "channel": channel["channel_id"],
            "other": victim_tenant.id,
            "victim": victim.id,
        }
        attackers.append(
            {
                "created": created(client),
                "names": names,
                "authenticated": number > 0,
                "inputs": share,
                "rate": RATE * share / sum(shares),
            }
        )
    return attackers


@pytest.mark.timeout(3600 if IS_LONG else 120)
async def test_hostile_clients_do_not_affect_others(new_stack):
    async with (
        new_stack() as stack,
        JsonProcess.running("support.calm_tenants") as measuring,
        JsonProcess.running("support.hostile_clients") as attacking,
    ):
        tenant = await (await User.sign_up(stack)).create_organization("Hostile")
        calm = [await (await User.sign_up(stack)).create_organization("Calm") for _ in range(2)]
        clients = [[await each.create_client() for _ in range(3)] for each in calm]
        await measuring.call(
            start=[
                (each.id, [created(client) for client in members])
                for each, members in zip(calm, clients, strict=True)
            ]
        )
        attackers = await create_attackers(tenant, calm[0], clients[0][0])
        services = Services(stack)
        await measuring.call()
        await asyncio.sleep(IDLE_S)
        idle = await measuring.call()
        attack = await attacking.call(port=stack.ports.nats, seed=SEED, max_s=MAX_S, clients=attackers)
        attacked = await measuring.call()
        results = await measuring.call(stop=True)

        counts, took = attack["counts"], attack["took_s"]
        written = sum(
            counts[kind] for kind in ("publish", "subscribe", "line", "flood", "half") if kind in counts
        )
        pace = f"at {RATE:.0f} a second" if RATE else "unpaced"
        print(f"\n{written:,} hostile inputs in {took:.0f} s, {pace} (seed {SEED}): {counts}")
        for before, during, result in zip(idle, attacked, results, strict=True):
            print(f"calm organization: {result['sent']:,} messages")
            for name, each in (("idle", before), ("attacked", during)):
                print(f"  {name}: p50 {each['p50_ms']:.2f} ms, p99 {each['p99_ms']:.2f} ms")
        for result in results:
            assert result["losses"] == []
            assert result["foreign"] == []
            assert result["socket_closed"] is None
            assert result["complete_over_nats"]
            assert result["complete_over_websocket"]
        assert attack["leaks"] == 0
        for each, (sender, *_) in zip(calm, clients, strict=True):
            status = await each.call("GET", f"/clients/{sender.id}/status", 200)
            assert status["client_id"] == sender.id
        services.assert_undisturbed()
        assert written > 0.9 * INPUTS or took >= MAX_S
