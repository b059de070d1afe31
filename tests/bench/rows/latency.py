"""Delivery latency at a moderate rate, through the gateway and directly from the broker."""

from bench.result import Result, describe_losses, measure_in_turn, median

SUBSCRIBERS = 100
RATES = (10, 100)


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
        runs = await measure_in_turn(
            environment.repeats,
            ("gateway", "native"),
            lambda kind, rate=rate: measure_latency(environment, kind, rate, seconds),
        )
        for result in compare_latencies("latency", rate, *runs.values(), "nats-server's WebSocket"):
            yield result


def compare_latencies(row, rate, ours, reference, of):
    """The results of runs of ours and of a reference, for each percentile."""
    for percentile in ("p50", "p99"):
        own_ms, other_ms = (median(each[percentile] for each in runs) for runs in (ours, reference))
        added = f"added: {own_ms - other_ms:.2f} ms"
        yield Result(
            row=row,
            what=f"{percentile}, {SUBSCRIBERS} subscribers, {rate * SUBSCRIBERS:,} deliveries/s",
            unit="ms",
            ours=own_ms,
            reference=other_ms,
            of=of,
            limit=ours[0]["limit"],
            note="; ".join(filter(None, (describe_losses(ours, reference), added))),
            better="less",
            runs=[ours, reference],
        )
