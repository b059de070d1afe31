"""Throughput of fifty publishers, each with one socket, one subject and one subscriber.

What a publisher sends at once is one write: a frame for each message to the gateway, one frame with all of them to the
native peer, and to the gateway as well in the batch subprotocol.
"""

from bench.result import Result, describe_cpu, describe_losses, median_run

PAIRS = 50
# How many messages each publisher has in flight.
WINDOWS = (64, 1)
OURS = {"gateway": "", "batch": ", batch subprotocol"}


async def measure_pairs(environment, kind, seconds, window=WINDOWS[0]):
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
            window=window,
            seconds=seconds,
        )
        shares = meter.stop()
    finally:
        await generator.run("close_pool", pool="senders")
        await generator.run("close_pool", pool="receivers")
    return {
        "value": measured["rate"],
        "exact": measured["exact"],
        "limit": str(shares),
        "cpu_us": shares.microseconds_per(measured["received"], kind),
    }


async def run(environment):
    seconds = 2 if environment.quick else 5
    # Without the rate limit, the row measures the gateway's capacity.
    await environment.restart_gateway(ARTCAFE_PUBLISH_RATE="0")
    results = [result async for result in _measure_windows(environment, seconds)]
    await environment.restart_gateway()
    for result in results:
        yield result


async def _measure_windows(environment, seconds):
    for window in WINDOWS:
        runs = {kind: [] for kind in (*OURS, "native")}
        for _ in range(environment.repeats):
            for kind, measured in runs.items():
                measured.append(await measure_pairs(environment, kind, seconds, window))
        native = runs["native"]
        for kind, suffix in OURS.items():
            ours = runs[kind]
            notes = (
                describe_losses(ours, native),
                describe_cpu(ours, native, "message"),
                f"reference: {median_run(native)['limit']}",
            )
            yield Result(
                row="pairs",
                what=f"{PAIRS} publishers, {PAIRS} subscribers, each {window} outstanding{suffix}",
                unit="messages/s",
                ours=median_run(ours)["value"],
                reference=median_run(native)["value"],
                of="nats-server's WebSocket",
                limit=median_run(ours)["limit"],
                note="; ".join(filter(None, notes)),
                runs=[ours, native],
            )
