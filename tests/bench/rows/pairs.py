"""Throughput of fifty publishers, each with one socket, one subject and one subscriber.

What a publisher sends at once is one write: a frame for each message to the gateway, one frame with all of them to the
native peer, and to the gateway as well in the batch subprotocol.
"""

from bench.result import compare_rates, measure_in_turn

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
        runs = await measure_in_turn(
            environment.repeats,
            (*OURS, "native"),
            lambda kind, window=window: measure_pairs(environment, kind, seconds, window),
        )
        for kind, suffix in OURS.items():
            yield compare_rates(
                "pairs",
                f"{PAIRS} publishers, {PAIRS} subscribers, each {window} outstanding{suffix}",
                "messages/s",
                runs[kind],
                runs["native"],
                "nats-server's WebSocket",
                cost_of="message",
            )
