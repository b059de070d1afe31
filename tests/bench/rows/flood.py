"""A quiet organization beside one that publishes all it can."""

import asyncio

from bench.result import Result, losses, median

RATE = 50
FLOODING_SOCKETS = 4


async def quiet(world, tenant, seconds):
    """The latency of one publisher and one subscriber, both over WebSocket."""
    subject = world.fresh("quiet")
    common = {"kind": "gateway", "url": world.url("gateway"), "tenant_id": tenant.id, "agents": tenant.agents}
    goal = int(RATE * seconds)
    await world.generator.do("open", pool="quiet", count=1, subject=subject, **common)
    await world.generator.do("open", pool="voice", count=1, **common)
    try:
        await world.generator.do("arm", pool="quiet", goal=goal, timed=True)
        meter = world.meter()
        meter.start()
        await world.generator.do(
            "probe", senders="voice", tenant_id=tenant.id, subject=subject, rate=RATE, seconds=seconds
        )
        await world.generator.do("wait", pool="quiet", timeout=20)
        shares = meter.stop()
        return {**await world.generator.do("check", pool="quiet", goal=goal), "limit": str(shares)}
    finally:
        await world.generator.do("close", pool="voice")
        await world.generator.do("close", pool="quiet")


async def run(world):
    seconds = 3 if world.quick else 10
    tenant = await world.found("Quiet", 1)
    flooder = await world.worker("flooder")
    flooding_tenant = {
        "kind": "gateway",
        "url": world.url("gateway"),
        "tenant_id": world.tenant.id,
        "agents": world.tenant.agents,
    }
    alone, beside, floods = [], [], []
    for _ in range(world.repeats):
        await world.settle()
        alone.append(await quiet(world, tenant, seconds))
        await flooder.do("open", pool="flood", count=FLOODING_SOCKETS, **flooding_tenant)
        await flooder.do("open", pool="sink", count=1, subject="flood", **flooding_tenant)
        await flooder.do("arm", pool="sink", goal=0)
        flooding = asyncio.create_task(
            flooder.do(
                "flood",
                pool="flood",
                sink="sink",
                tenant_id=world.tenant.id,
                subject="flood",
                seconds=seconds + 2,
            )
        )
        await asyncio.sleep(1)
        beside.append(await quiet(world, tenant, seconds))
        floods.append(await flooding)
        await flooder.do("close", pool="flood")
        await flooder.do("close", pool="sink")
    rate = median(flood["rate"] for flood in floods)
    closed = sorted({code for flood in floods for code in flood["closed"]})
    sent = median(flood["sent"] for flood in floods)
    refused = ", ".join(sorted({code for flood in floods for code in flood["refused"]}))
    told = f"flood: {sent:,.0f} messages/s, {rate:,.0f} delivered, refused: {refused or 'none'}" + (
        f", flooding sockets closed with {closed}" if closed else ""
    )
    for point in ("p50", "p99"):
        yield Result(
            row="flood",
            what=f"{point} of a quiet organization beside a flooding one",
            unit="ms",
            ours=median(run[point] for run in beside),
            reference=median(run[point] for run in alone),
            of="alone",
            limit=beside[0]["limit"],
            note=" ".join(filter(None, (losses(beside, alone), told))),
            better="less",
            runs=[alone, beside],
        )
