"""The faults: each is a coroutine that injects, waits, and heals."""

import asyncio
import os

from artcafe_common.dev.stack import SERVICES
from chaos.stack import OWN_DISK_NODE, OWN_NETWORK_NODE, SECOND
from support.cluster_stack import NODES
from support.pausing import paused
from support.sentinel_stack import SENTINELS

AWAY_S = 4.0
PAUSED_S = 8.0
# What the end of a file loses when the machine loses power before it is written.
TORN_BYTES = 512
READY_WITHIN_S = 30.0


def kill(name):
    async def run(stack):
        await stack.kill(name)
        await asyncio.sleep(AWAY_S)
        stack.start(name)

    return run


def pause(name):
    async def run(stack):
        async with paused(stack.supervisor.pid(name)):
            await asyncio.sleep(PAUSED_S)

    return run


async def kill_primary(stack):
    """The Redis that is the primary at the moment."""
    await kill(await stack.find_primary())(stack)


async def pause_primary(stack):
    await pause(await stack.find_primary())(stack)


async def cut_network(stack):
    """The node runs, and reaches nobody; nobody reaches it."""
    if stack.network is None:
        raise RuntimeError("a network namespace needs root")
    await asyncio.to_thread(stack.network.cut)
    await asyncio.sleep(PAUSED_S)
    await asyncio.to_thread(stack.network.heal)


async def fill_disk(stack):
    if not stack.has_own_disk:
        raise RuntimeError("mounting a disk needs root")
    await asyncio.to_thread(stack.fill_disk)
    await asyncio.sleep(PAUSED_S)
    stack.free_disk()
    # JetStream stays off after a failed write until the node is restarted.
    await stack.supervisor.stop(OWN_DISK_NODE)
    stack.start(OWN_DISK_NODE)


async def lose_power(stack):
    """The node is killed, and the last bytes of each of its streams were never written."""
    name = NODES[0]
    await stack.kill(name)
    for stream in stack.stores[name].glob("jetstream/**/streams/*/msgs"):
        blocks = sorted(stream.glob("*.blk"), key=lambda path: int(path.stem))
        if blocks and (size := blocks[-1].stat().st_size):
            os.truncate(blocks[-1], max(0, size - TORN_BYTES))
    await asyncio.sleep(AWAY_S)
    stack.start(name)


async def restart_everything(stack):
    services = [service + suffix for service in SERVICES for suffix in ("", SECOND)]
    for name in (*services, *NODES, *SENTINELS, *stack.redis_ports):
        await stack.supervisor.stop(name)
        stack.start(name)
        await wait_healthy(stack)


async def wait_healthy(stack):
    """Wait until each node and both gateways report that they are healthy; raises TimeoutError."""
    async with asyncio.timeout(READY_WITHIN_S):
        while not await stack.is_healthy():
            await asyncio.sleep(0.2)


# By name: (the function, the node that direct clients are connected to first).
FAULTS = {
    **{f"kill {node}": (kill(node), node) for node in NODES},
    **{f"pause {node}": (pause(node), node) for node in NODES},
    f"partition of {OWN_NETWORK_NODE}": (cut_network, OWN_NETWORK_NODE),
    f"full disk of {OWN_DISK_NODE}": (fill_disk, OWN_DISK_NODE),
    f"power loss of {NODES[0]}": (lose_power, NODES[0]),
    **{f"kill {service}": (kill(service), None) for service in SERVICES},
    **{f"pause {service}": (pause(service), None) for service in SERVICES},
    "kill redis": (kill_primary, None),
    "pause redis": (pause_primary, None),
    f"kill {SENTINELS[0]}": (kill(SENTINELS[0]), None),
    "pause dynamodb": (pause("moto"), None),
    "rolling restart": (restart_everything, None),
}
