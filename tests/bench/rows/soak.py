"""Sockets come and go for minutes; afterwards everything is as it was, and who stayed missed nothing."""

import asyncio

import psutil

from bench.result import Result

SLOTS = 2_000
STAY = 50
RATE = 20
CONCURRENCY = 32
SETTLE_S = 10
GAUGES = ("artcafe_websockets", "artcafe_bridge_subscriptions", "artcafe_asyncio_tasks")


async def state(world):
    """What must return to where it was."""
    gateway = psutil.Process(world.gateway_pid())
    metrics = await world.metrics()
    return {
        "MiB": gateway.memory_info().rss / 2**20,
        "files": gateway.num_fds(),
        **{name.removeprefix("artcafe_"): metrics[name] for name in GAUGES if name in metrics},
    }


async def churned(world, seconds):
    return await world.generator.do(
        "churn",
        within=seconds + 120,
        url=world.url("gateway"),
        tenant_id=world.tenant.id,
        agents=world.tenant.agents,
        slots=200 if world.quick else SLOTS,
        seconds=seconds,
        concurrency=CONCURRENCY,
    )


async def run(world):
    seconds = 10 if world.quick else world.soak_minutes * 60
    # First a wave that fills what is kept for good: caches, allocator, code.
    await churned(world, 6 if world.quick else 30)
    stayed = await world.worker("stayed")
    await stayed.do(
        "open",
        pool="stay",
        kind="gateway",
        url=world.url("gateway"),
        tenant_id=world.tenant.id,
        agents=world.tenant.agents,
        count=STAY,
        subject="soak",
    )
    await asyncio.sleep(SETTLE_S)
    before = await state(world)
    goal = int(RATE * seconds)
    await stayed.do("arm", pool="stay", goal=goal)
    meter = world.meter()
    meter.start()
    paced = world.publisher.do(
        "paced",
        within=seconds + 60,
        port=world.stack.ports.nats,
        seed=world.tenant.agents[0]["seed"],
        subject=f"{world.tenant.id}.soak",
        rate=RATE,
        seconds=seconds,
    )
    staying = stayed.do("stay", within=seconds + 120, pool="stay", seconds=seconds + 20)
    counts, _, _ = await asyncio.gather(churned(world, seconds), paced, staying)
    await stayed.do("wait", pool="stay", timeout=20)
    shares = meter.stop()
    ended = await stayed.do("check", pool="stay", goal=goal)
    await asyncio.sleep(SETTLE_S)
    after = await state(world)
    await stayed.do("close", pool="stay")
    changes = ", ".join(f"{name} {before[name]:,.0f} → {after[name]:,.0f}" for name in before)
    truth = "no message lost or doubled" if ended["exact"] else "**lost or doubled messages**"
    failed = f", **{counts['failed']} failed**" if counts["failed"] else ""
    yield Result(
        row="soak",
        what=f"{seconds / 60:.1f} minutes, {counts['connected']:,} sockets came and went, {STAY} stayed",
        unit="MiB more",
        ours=after["MiB"] - before["MiB"],
        limit=str(shares),
        note=f"{truth} for those that stayed{failed}; {changes}",
        better="less",
        runs=[before, after, counts],
    )
