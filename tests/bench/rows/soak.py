"""Sockets connect and disconnect for minutes: no leak, and no loss for the sockets that stay."""

import asyncio

import psutil

from bench.result import Result

SLOTS = 2_000
STAYING = 50
RATE = 20
CONCURRENCY = 32
SETTLE_S = 10
GAUGES = ("artcafe_websockets", "artcafe_bridge_subscriptions", "artcafe_asyncio_tasks")


async def measure_resources(environment):
    """The resources that must return to their earlier level."""
    gateway = psutil.Process(environment.gateway_pid())
    metrics = await environment.metrics()
    return {
        "MiB": gateway.memory_info().rss / 2**20,
        "files": gateway.num_fds(),
        **{name.removeprefix("artcafe_"): metrics[name] for name in GAUGES if name in metrics},
    }


async def churn(environment, seconds):
    return await environment.generator.run(
        "churn",
        within=seconds + 120,
        url=environment.url("gateway"),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        slots=200 if environment.quick else SLOTS,
        seconds=seconds,
        concurrency=CONCURRENCY,
    )


async def run(environment):
    seconds = 10 if environment.quick else environment.soak_minutes * 60
    # Warm up: caches, the allocator and compiled code stay allocated.
    await churn(environment, 6 if environment.quick else 30)
    staying = await environment.worker("stayed")
    await staying.run(
        "open_pool",
        pool="staying",
        kind="gateway",
        url=environment.url("gateway"),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=STAYING,
        subject="soak",
    )
    await asyncio.sleep(SETTLE_S)
    before = await measure_resources(environment)
    goal = int(RATE * seconds)
    await staying.run("arm", pool="staying", goal=goal)
    meter = environment.meter()
    meter.start()
    publishing = environment.publisher.run(
        "publish_paced",
        within=seconds + 60,
        port=environment.stack.ports.nats,
        seed=environment.tenant.agents[0]["seed"],
        subject=f"{environment.tenant.id}.soak",
        rate=RATE,
        seconds=seconds,
    )
    heartbeats = staying.run("send_heartbeats", within=seconds + 120, pool="staying", seconds=seconds + 20)
    counts, _, _ = await asyncio.gather(churn(environment, seconds), publishing, heartbeats)
    await staying.run("wait", pool="staying", timeout=20)
    shares = meter.stop()
    checked = await staying.run("check", pool="staying", goal=goal)
    await asyncio.sleep(SETTLE_S)
    after = await measure_resources(environment)
    await staying.run("close_pool", pool="staying")
    changes = ", ".join(f"{name} {before[name]:,.0f} → {after[name]:,.0f}" for name in before)
    losses = "no message lost or doubled" if checked["exact"] else "**lost or doubled messages**"
    failed = f", **{counts['failed']} failed**" if counts["failed"] else ""
    yield Result(
        row="soak",
        what=f"{seconds / 60:.1f} minutes, {counts['connected']:,} sockets came and went, {STAYING} stayed",
        unit="MiB more",
        ours=after["MiB"] - before["MiB"],
        limit=str(shares),
        note=f"{losses} for those that stayed{failed}; {changes}",
        better="less",
        runs=[before, after, counts],
    )
