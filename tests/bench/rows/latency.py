"""Delivery latency at a moderate rate, through the gateway and directly from the broker."""

from bench.result import Result, describe_losses, median

SUBSCRIBERS = 100
RATES = (10, 100)
NATIVE = "nats-server's WebSocket"


async def measure_latency(environment, kind, rate, seconds):
    subject = environment.unique_name()
    goal = int(rate * seconds)
    await environment.generator.run(
        "open_pool",
        pool=subject,
        kind=kind,
        url=environment.url(kind),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=SUBSCRIBERS,
        subject=subject,
    )
    try:
        await environment.generator.run("arm", pool=subject, goal=goal, timed=True)
        await environment.wait_until_idle()
        meter = environment.meter()
        meter.start()
        await environment.publisher.run(
            "publish_paced",
            subject=f"{environment.tenant.id}.{subject}",
            rate=rate,
            seconds=seconds,
            **environment.source(kind),
        )
        await environment.generator.run("wait", pool=subject, timeout=10)
        shares = meter.stop()
        return {
            **await environment.generator.run("check", pool=subject, goal=goal),
            "limit": str(shares),
        }
    finally:
        await environment.generator.run("close_pool", pool=subject)


async def run(environment):
    seconds = 3 if environment.quick else 10
    for rate in RATES:
        ours, native = [], []
        for _ in range(environment.repeats):
            ours.append(await measure_latency(environment, "gateway", rate, seconds))
            native.append(await measure_latency(environment, "native", rate, seconds))
        for percentile in ("p50", "p99"):
            gateway_ms, native_ms = (median(each[percentile] for each in runs) for runs in (ours, native))
            added = f"added: {gateway_ms - native_ms:.2f} ms"
            yield Result(
                row="latency",
                what=f"{percentile}, {SUBSCRIBERS} subscribers, {rate * SUBSCRIBERS:,} deliveries/s",
                unit="ms",
                ours=gateway_ms,
                reference=native_ms,
                of=NATIVE,
                limit=ours[0]["limit"],
                note=" ".join(filter(None, (describe_losses(ours, native), added))),
                better="less",
                runs=[ours, native],
            )
