"""One of a hundred hardly reads: what that costs the others, and what becomes of it."""

import asyncio

from bench.meter import PeakMemory
from bench.result import Result, losses, middle
from bench.rows.fanout import measured

OTHERS = 99
CUT_WITHIN_S = 5


async def beside_a_slow_one(world, count):
    """The others' rate while a hundredth reads 1 KB/s, and how that one ended."""
    before = (await world.metrics())["artcafe_websocket_slow_consumers_total"]
    slow = await world.worker("slow reader")
    await slow.do("slow_open", port=world.stack.ports.api, agent=world.tenant.agents[1], subject=">")
    cut = False
    async with PeakMemory(world.gateway_pid()) as memory:
        running = asyncio.create_task(measured(world, "gateway", OTHERS, count=count))
        while not running.done() or not cut:
            cut = cut or (await world.metrics())["artcafe_websocket_slow_consumers_total"] > before
            if cut:
                break
            if running.done():
                await asyncio.sleep(CUT_WITHIN_S)
                cut = (await world.metrics())["artcafe_websocket_slow_consumers_total"] > before
                break
            await asyncio.sleep(0.1)
        end = await slow.do("slow_end")
        found = await running
    return {**found, "cut": cut, "code": end["code"], "peak": memory.peak}


async def run(world):
    # Enough that what the kernel and the outbox hold overflows.
    count = 30_000
    alone, beside = [], []
    for _ in range(world.repeats):
        alone.append(await measured(world, "gateway", OTHERS, count=count))
        beside.append(await beside_a_slow_one(world, count))
    shown = middle(beside)
    codes = sorted({str(run["code"]) for run in beside})
    peak = max(run["peak"] for run in beside) / 2**20
    cut = sum(run["cut"] for run in beside)
    yield Result(
        row="slow",
        what=f"{OTHERS} subscribers beside one that reads 1 KB/s",
        unit="deliveries/s",
        ours=shown["value"],
        reference=middle(alone)["value"],
        of="without it",
        limit=shown["limit"],
        note=f"{losses(beside, alone)} cut in {cut} of {len(beside)} runs, "
        f"close code {', '.join(codes)}; gateway at most {peak:,.0f} MiB",
        runs=[alone, beside],
    )
