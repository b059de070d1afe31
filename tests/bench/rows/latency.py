"""What a message takes to arrive when there is room: through the gateway, and without it."""

from bench.result import Result, losses, median

SUBSCRIBERS = 100
RATES = (10, 100)
NATIVE = "nats-server's WebSocket"


async def measured(world, kind, rate, seconds):
    subject = world.fresh()
    goal = int(rate * seconds)
    await world.generator.do(
        "open",
        pool=subject,
        kind=kind,
        url=world.url(kind),
        tenant_id=world.tenant.id,
        agents=world.tenant.agents,
        count=SUBSCRIBERS,
        subject=subject,
    )
    try:
        await world.generator.do("arm", pool=subject, goal=goal, timed=True)
        await world.settle()
        meter = world.meter()
        meter.start()
        await world.publisher.do(
            "paced",
            port=world.stack.ports.nats,
            seed=world.tenant.agents[0]["seed"],
            subject=f"{world.tenant.id}.{subject}",
            rate=rate,
            seconds=seconds,
        )
        await world.generator.do("wait", pool=subject, timeout=10)
        shares = meter.stop()
        return {**await world.generator.do("check", pool=subject, goal=goal), "limit": str(shares)}
    finally:
        await world.generator.do("close", pool=subject)


async def run(world):
    seconds = 3 if world.quick else 10
    for rate in RATES:
        ours, native = [], []
        for _ in range(world.repeats):
            ours.append(await measured(world, "gateway", rate, seconds))
            native.append(await measured(world, "native", rate, seconds))
        for point in ("p50", "p99"):
            mine, theirs = (median(run[point] for run in runs) for runs in (ours, native))
            yield Result(
                row="latency",
                what=f"{point}, {SUBSCRIBERS} subscribers, {rate * SUBSCRIBERS:,} deliveries/s",
                unit="ms",
                ours=mine,
                reference=theirs,
                of=NATIVE,
                limit=ours[0]["limit"],
                note=" ".join(filter(None, (losses(ours, native), f"added: {mine - theirs:.2f} ms"))),
                better="less",
                runs=[ours, native],
            )
