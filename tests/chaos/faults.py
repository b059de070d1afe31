"""The faults: each is a coroutine that injects, waits, and heals."""

import asyncio
import os

from artcafe_common.dev.stack import SERVICES
from chaos.stack import OWN_DISK_NODE, SECOND
from support.cluster_stack import NODES
from support.pausing import paused

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
    for name in [s + suffix for s in SERVICES for suffix in ("", SECOND)] + list(NODES):
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
    f"kill {NODES[0]}": (kill(NODES[0]), NODES[0]),
    f"pause {NODES[1]}": (pause(NODES[1]), NODES[1]),
    "kill gateway": (kill("gateway"), None),
    "kill redis": (kill("redis"), None),
    "pause dynamodb": (pause("moto"), None),
    f"full disk of {OWN_DISK_NODE}": (fill_disk, OWN_DISK_NODE),
    f"power loss of {NODES[0]}": (lose_power, NODES[0]),
    "pause redis": (pause("redis"), None),
    **{f"kill {service}": (kill(service), None) for service in SERVICES if service != "gateway"},
    **{f"kill {node}": (kill(node), node) for node in NODES[1:]},
    **{f"pause {node}": (pause(node), node) for node in (NODES[0], NODES[2])},
    "rolling restart": (restart_everything, None),
}
