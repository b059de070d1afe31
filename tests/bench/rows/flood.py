"""The latency of one organization while another publishes as fast as it can."""

import asyncio

from bench.result import Result, describe_losses, median

RATE = 50
FLOODING_SOCKETS = 4


async def measure_latency(environment, tenant, seconds):
    """One publisher and one subscriber, both over WebSocket."""
    subject = environment.unique_name("quiet")
    common = {
        "kind": "gateway",
        "url": environment.url("gateway"),
        "tenant_id": tenant.id,
        "agents": tenant.agents,
    }
    goal = int(RATE * seconds)
    generator = environment.generator
    await generator.run("open_pool", pool="subscriber", count=1, subject=subject, **common)
    await generator.run("open_pool", pool="publisher", count=1, **common)
    try:
        await generator.run("arm", pool="subscriber", goal=goal, timed=True)
        meter = environment.meter()
        meter.start()
        await generator.run(
            "publish_over_websocket",
            pool="publisher",
            tenant_id=tenant.id,
            subject=subject,
            rate=RATE,
            seconds=seconds,
        )
        await generator.run("wait", pool="subscriber", timeout=20)
        shares = meter.stop()
        return {**await generator.run("check", pool="subscriber", goal=goal), "limit": str(shares)}
    finally:
        await generator.run("close_pool", pool="publisher")
        await generator.run("close_pool", pool="subscriber")


async def run(environment):
    seconds = 3 if environment.quick else 10
    tenant = await environment.create_organization("Quiet", 1)
    flooder = await environment.worker("flooder")
    flooding_tenant = {
        "kind": "gateway",
        "url": environment.url("gateway"),
        "tenant_id": environment.tenant.id,
        "agents": environment.tenant.agents,
    }
    alone, beside, floods = [], [], []
    for _ in range(environment.repeats):
        await environment.wait_until_idle()
        alone.append(await measure_latency(environment, tenant, seconds))
        await flooder.run("open_pool", pool="flood", count=FLOODING_SOCKETS, **flooding_tenant)
        await flooder.run("open_pool", pool="sink", count=1, subject="flood", **flooding_tenant)
        await flooder.run("arm", pool="sink", goal=0)
        flooding = asyncio.create_task(
            flooder.run(
                "flood",
                pool="flood",
                sink="sink",
                tenant_id=environment.tenant.id,
                subject="flood",
                seconds=seconds + 2,
            )
        )
        await asyncio.sleep(1)
        beside.append(await measure_latency(environment, tenant, seconds))
        floods.append(await flooding)
        await flooder.run("close_pool", pool="flood")
        await flooder.run("close_pool", pool="sink")
    rate = median(flood["rate"] for flood in floods)
    closed = sorted({code for flood in floods for code in flood["closed"]})
    sent = median(flood["sent"] for flood in floods)
    refused = ", ".join(sorted({code for flood in floods for code in flood["refused"]}))
    summary = f"flood: {sent:,.0f} messages/s, {rate:,.0f} delivered, refused: {refused or 'none'}" + (
        f", flooding sockets closed with {closed}" if closed else ""
    )
    for percentile in ("p50", "p99"):
        yield Result(
            row="flood",
            what=f"{percentile} of a quiet organization beside a flooding one",
            unit="ms",
            ours=median(each[percentile] for each in beside),
            reference=median(each[percentile] for each in alone),
            of="alone",
            limit=beside[0]["limit"],
            note=" ".join(filter(None, (describe_losses(beside, alone), summary))),
            better="less",
            runs=[alone, beside],
        )
