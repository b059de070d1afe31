"""Fan-out throughput: one NATS publisher, many WebSocket subscribers, no message lost."""

import itertools

from bench.result import Result, describe_cpu, describe_losses, median_run

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
        await environment.generator.run(
            "arm", pool=subject, goal=count, progress=path, often=window < WINDOW, skip_framing=True
        )
        await environment.wait_until_idle()
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
        ours, native = [], []
        for _ in range(environment.repeats):
            ours.append(await measure_fanout(environment, "gateway", subscribers))
            native.append(await measure_fanout(environment, "native", subscribers))
        naive = await _measure_naive(environment, subscribers)
        for runs, of in ((native, "nats-server's WebSocket"), *(((naive, "naive"),) if naive else ())):
            reference_limit = f"reference: {median_run(runs)['limit']}"
            yield Result(
                row="fan-out",
                what=f"{subscribers:,} subscribers",
                unit="deliveries/s",
                ours=median_run(ours)["value"],
                reference=median_run(runs)["value"],
                of=of,
                limit=median_run(ours)["limit"],
                note="; ".join(
                    filter(
                        None,
                        (
                            describe_losses(ours, runs),
                            describe_cpu(ours, runs, "delivery"),
                            reference_limit,
                        ),
                    )
                ),
                runs=[ours, runs],
            )
    async for result in _measure_small_windows(environment):
        yield result


async def _measure_small_windows(environment):
    for window, subscribers in itertools.product(SMALL_WINDOWS, SMALL_WINDOW_SIZES):
        # The sockets answer no ping, so a run must not last long.
        count = message_count(environment, subscribers) // (6 if window > 1 else 60)
        runs = {kind: [] for kind in (*OURS, "native")}
        for _ in range(environment.repeats):
            for kind, measured in runs.items():
                measured.append(
                    await measure_fanout(environment, kind, subscribers, count=count, window=window)
                )
        native = runs["native"]
        for kind, suffix in OURS.items():
            ours = runs[kind]
            notes = (
                describe_losses(ours, native),
                describe_cpu(ours, native, "delivery"),
                f"reference: {median_run(native)['limit']}",
            )
            yield Result(
                row="fan-out",
                what=f"{subscribers:,} subscribers, {window} outstanding{suffix}",
                unit="deliveries/s",
                ours=median_run(ours)["value"],
                reference=median_run(native)["value"],
                of="nats-server's WebSocket",
                limit=median_run(ours)["limit"],
                note="; ".join(filter(None, notes)),
                runs=[ours, native],
            )


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
