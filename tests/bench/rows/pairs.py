"""Throughput of fifty publishers, each with one socket, one subject and one subscriber."""

from bench.result import Result, describe_losses, median_run

PAIRS = 50
WINDOW = 64


async def measure_pairs(environment, kind, seconds):
    subject = environment.unique_name("pair")
    common = {
        "kind": kind,
        "url": environment.url(kind),
        "tenant_id": environment.tenant.id,
        "agents": environment.tenant.agents,
        "count": PAIRS,
    }
    generator = environment.generator
    await generator.run("open_pool", pool="receivers", subject=subject, numbered_subjects=True, **common)
    await generator.run("open_pool", pool="senders", **common)
    try:
        await environment.wait_until_idle()
        meter = environment.meter()
        meter.start()
        measured = await generator.run(
            "publish_in_pairs",
            senders="senders",
            receivers="receivers",
            tenant_id=environment.tenant.id,
            subject=subject,
            window=WINDOW,
            seconds=seconds,
        )
        shares = meter.stop()
    finally:
        await generator.run("close_pool", pool="senders")
        await generator.run("close_pool", pool="receivers")
    return {"value": measured["rate"], "exact": measured["exact"], "limit": str(shares)}


async def run(environment):
    seconds = 2 if environment.quick else 5
    ours, native = [], []
    # Without the rate limit, the row measures the gateway's capacity.
    await environment.restart_gateway(ARTCAFE_PUBLISH_RATE="0")
    for _ in range(environment.repeats):
        ours.append(await measure_pairs(environment, "gateway", seconds))
        native.append(await measure_pairs(environment, "native", seconds))
    await environment.restart_gateway()
    reference_limit = f"reference: {median_run(native)['limit']}"
    yield Result(
        row="pairs",
        what=f"{PAIRS} publishers, {PAIRS} subscribers",
        unit="messages/s",
        ours=median_run(ours)["value"],
        reference=median_run(native)["value"],
        of="nats-server's WebSocket",
        limit=median_run(ours)["limit"],
        note=" ".join(filter(None, (describe_losses(ours, native), reference_limit))),
        runs=[ours, native],
    )
