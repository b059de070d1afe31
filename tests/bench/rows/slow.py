"""Fan-out to 99 subscribers while one more hardly reads."""

import asyncio

from bench.meter import PeakMemory
from bench.result import Result, describe_losses, median_run
from bench.rows.fanout import measure_fanout

OTHERS = 99
CUT_WITHIN_S = 5


async def slow_consumers(environment):
    """How many slow consumers the gateway has disconnected."""
    return (await environment.metrics())["artcafe_websocket_slow_consumers_total"]


async def measure_beside_slow_reader(environment, count):
    """The fan-out rate with a subscriber that reads 1 KB/s, and how that one was disconnected."""
    before = await slow_consumers(environment)
    worker = await environment.worker("slow reader")
    await worker.run(
        "open_slow_reader",
        port=environment.stack.ports.api,
        agent=environment.tenant.agents[1],
        subject=">",
    )
    cut = False
    async with PeakMemory(environment.gateway_pid()) as memory:
        fanout = asyncio.create_task(measure_fanout(environment, "gateway", OTHERS, count=count))
        while not cut:
            cut = await slow_consumers(environment) > before
            if not cut and fanout.done():
                await asyncio.sleep(CUT_WITHIN_S)
                cut = await slow_consumers(environment) > before
                break
            await asyncio.sleep(0.1)
        closed = await worker.run("close_slow_reader")
        measured = await fanout
    return {**measured, "cut": cut, "code": closed["code"], "peak": memory.peak}


async def run(environment):
    # Enough messages to overflow the kernel's buffers and the gateway's send queue.
    count = 30_000
    alone, beside = [], []
    for _ in range(environment.repeats):
        alone.append(await measure_fanout(environment, "gateway", OTHERS, count=count))
        beside.append(await measure_beside_slow_reader(environment, count))
    codes = sorted({str(each["code"]) for each in beside})
    peak = max(each["peak"] for each in beside) / 2**20
    cut = sum(each["cut"] for each in beside)
    yield Result(
        row="slow",
        what=f"{OTHERS} subscribers beside one that reads 1 KB/s",
        unit="deliveries/s",
        ours=median_run(beside)["value"],
        reference=median_run(alone)["value"],
        of="without it",
        limit=median_run(beside)["limit"],
        note=f"{describe_losses(beside, alone)} cut in {cut} of {len(beside)} runs, "
        f"close code {', '.join(codes)}; gateway at most {peak:,.0f} MiB",
        runs=[alone, beside],
    )
