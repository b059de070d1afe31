"""Fan-out throughput: one NATS publisher, many WebSocket subscribers, no message lost."""

import itertools

from bench.result import compare_rates, measure_in_turn

WINDOW = 2_000
TIMEOUT_S = 60
NAIVE_DELIVERIES = 400_000
SIZES = (10, 100, 1_000)
# With few messages in flight, each loop turn of the gateway brings few messages.
SMALL_WINDOWS = (32, 1)
SMALL_WINDOW_SIZES = (10, 100)
OURS = {"gateway": "", "batch": ", batch subprotocol"}


def message_count(environment, subscribers):
    """Enough messages for a run of some seconds."""
    deliveries = 500_000 if environment.quick else 3_000_000
    return max(400, min(150_000, deliveries // subscribers))


async def measure_fanout(
    environment, kind, subscribers, *, count=None, window=WINDOW, tenant=None, channel=None
):
    """Deliveries per second, from the first publish to the last delivery."""
    count = count or message_count(environment, subscribers)
    tenant = tenant or environment.tenant
    subject = channel or environment.unique_name()
    nats_subject = channel or f"{tenant.id}.{subject}"
    opened = await environment.generator.run(
        "open_pool",
        pool=subject,
        kind=kind,
        url=environment.url(kind),
        tenant_id=tenant.id,
        agents=tenant.agents,
        count=subscribers,
        subject=subject,
    )
    if opened["failed"]:
        raise RuntimeError(f"{opened['failed']} sockets did not connect: {opened['errors']}")
    path = str(environment.stack.directory / f"{environment.unique_name()}.sock")
    try:
        await environment.publisher.run(
            "prepare_publish",
            subject=nats_subject,
            count=count,
            window=window,
            path=path,
            **environment.source(kind, tenant),
        )
        await environment.wait_until_idle()
        # With a small window the generator reports without a pause from here on.
        await environment.generator.run(
            "arm", pool=subject, goal=count, progress=path, often=window < WINDOW, skip_framing=True
        )
        meter = environment.meter()
        meter.start()
        began = await environment.publisher.run("publish")
        finished = await environment.generator.run("wait", pool=subject, timeout=TIMEOUT_S)
        shares = meter.stop()
        checked = await environment.generator.run("check", pool=subject, goal=count)
    finally:
        await environment.generator.run("close_pool", pool=subject)
    seconds = (finished - began) / 1e9 if finished else None
    return {
        "value": subscribers * count / seconds if seconds else None,
        "exact": checked["exact"],
        "closed": checked["closed"],
        "limit": str(shares),
        "cpu_us": shares.microseconds_per(subscribers * count, kind),
        "seconds": seconds,
        "messages": count,
    }


async def run(environment):
    for subscribers in SIZES:
        runs = await measure_in_turn(
            environment.repeats,
            ("gateway", "native"),
            lambda kind, subscribers=subscribers: measure_fanout(environment, kind, subscribers),
        )
        references = {"nats-server's WebSocket": runs["native"]}
        if naive := await _measure_naive(environment, subscribers):
            references["naive"] = naive
        for of, reference in references.items():
            yield _compare(f"{subscribers:,} subscribers", runs["gateway"], reference, of)
    for window, subscribers in itertools.product(SMALL_WINDOWS, SMALL_WINDOW_SIZES):
        # The sockets answer no ping, so a run must not last long.
        count = message_count(environment, subscribers) // (6 if window > 1 else 60)
        burst = {"count": count, "window": window}
        runs = await measure_in_turn(
            environment.repeats,
            (*OURS, "native"),
            lambda kind, subscribers=subscribers, burst=burst: measure_fanout(
                environment, kind, subscribers, **burst
            ),
        )
        for kind, suffix in OURS.items():
            what = f"{subscribers:,} subscribers, {window} outstanding{suffix}"
            yield _compare(what, runs[kind], runs["native"], "nats-server's WebSocket")


def _compare(what, ours, reference, of):
    return compare_rates("fan-out", what, "deliveries/s", ours, reference, of, cost_of="delivery")


async def _measure_naive(environment, subscribers):
    if not environment.supports_naive_fanout:
        return []
    await environment.restart_gateway(ARTCAFE_FANOUT="naive")
    try:
        count = max(400, NAIVE_DELIVERIES // subscribers)
        return [
            await measure_fanout(environment, "gateway", subscribers, count=count)
            for _ in range(environment.repeats)
        ]
    finally:
        await environment.restart_gateway()
