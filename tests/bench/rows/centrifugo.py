"""The gateway beside Centrifugo, with its memory engine and with NATS as its broker: the same sockets and messages.

A fan-out and a latency are published by a client of Centrifugo with its memory engine, and by a client of the broker in
all other cases. Clients log in with a token at Centrifugo, and with a signed challenge at the gateway.
"""

import asyncio

import psutil

from bench.centrifugo import VERSION, Centrifugo, NotAvailable
from bench.result import Result, compare_rates, measure_in_turn, median
from bench.rows.connects import CONCURRENCY, COUNT
from bench.rows.fanout import measure_fanout, message_count
from bench.rows.latency import compare_latencies, measure_latency
from bench.rows.memory import SETTLE_S, measure_memory
from bench.rows.pairs import PAIRS, measure_pairs

KIND = "centrifugo"
# Larger than a small burst, and less than what a subscriber of Centrifugo may have queued.
SIZES, WINDOWS = (10, 100, 1_000), (32, 1_000)
LATENCY_RATE = 100
ENGINES = {"memory": "Centrifugo, memory engine", "nats": "Centrifugo, NATS broker"}


async def run(environment):
    for engine, name in ENGINES.items():
        server = Centrifugo(environment, engine)
        try:
            await server.start()
        except NotAvailable as reason:
            await server.stop()
            yield Result(row="centrifugo", what=name, unit="", ours=0.0, note=f"skipped: {reason}")
            continue
        environment.urls[KIND] = server.url
        environment.sources[KIND] = server.source
        try:
            async for result in _compare(environment, server, f"{name} {VERSION}"):
                yield result
        finally:
            await server.stop()
            environment.urls.pop(KIND)
            environment.sources.pop(KIND)


async def _compare(environment, server, name):
    for subscribers in SIZES:
        for window in WINDOWS:
            yield await _compare_fanout(environment, subscribers, window, name)
    yield await _compare_pairs(environment, name)
    for result in await _compare_latency(environment, name):
        yield result
    yield await _compare_logins(environment, server, name)
    yield await _compare_memory(environment, server, name)


async def _both(environment, measure):
    """The runs of ours and of Centrifugo, in turn."""
    return (await measure_in_turn(environment.repeats, ("gateway", KIND), measure)).values()


async def _compare_fanout(environment, subscribers, window, name):
    count = max(400, message_count(environment, subscribers) // (4 if window == WINDOWS[0] else 2))
    ours, theirs = await _both(
        environment,
        lambda kind: measure_fanout(environment, kind, subscribers, count=count, window=window),
    )
    what = f"{subscribers:,} subscribers, {window:,} outstanding"
    return compare_rates("centrifugo", what, "deliveries/s", ours, theirs, name, cost_of="delivery")


async def _compare_pairs(environment, name):
    seconds = 2 if environment.quick else 5
    await environment.restart_gateway(ARTCAFE_PUBLISH_RATE="0")
    try:
        ours, theirs = await _both(environment, lambda kind: measure_pairs(environment, kind, seconds))
    finally:
        await environment.restart_gateway()
    what = f"{PAIRS} publishers, {PAIRS} subscribers"
    return compare_rates("centrifugo", what, "messages/s", ours, theirs, name, cost_of="message")


async def _compare_latency(environment, name):
    seconds = 3 if environment.quick else 10
    ours, theirs = await _both(
        environment, lambda kind: measure_latency(environment, kind, LATENCY_RATE, seconds)
    )
    return compare_latencies("centrifugo", LATENCY_RATE, ours, theirs, name)


async def _compare_logins(environment, server, name):
    async def measure(kind):
        await environment.wait_until_idle()
        meter = environment.meter()
        meter.start()
        opened = await environment.generator.run(
            "open_pool",
            pool="logins",
            kind=kind,
            url=environment.url(kind),
            tenant_id=environment.tenant.id,
            agents=environment.tenant.agents,
            count=COUNT,
            concurrency=CONCURRENCY,
        )
        shares = meter.stop()
        await environment.generator.run("close_pool", pool="logins")
        serving = shares.seconds_of(KIND) if kind == KIND else sum(shares.seconds_of_service().values())
        return {
            "value": opened["open"] / opened["seconds"],
            "exact": not opened["failed"],
            "limit": str(shares),
            "cpu_ms": serving / opened["open"] * 1000,
        }

    ours, theirs = await _both(environment, measure)
    costs = [median(each["cpu_ms"] for each in runs) for runs in (ours, theirs)]
    return compare_rates(
        "centrifugo",
        f"logins, {COUNT:,} by {CONCURRENCY}",
        "connects/s",
        ours,
        theirs,
        f"{name}, with a token",
        note=f"processor time of one {costs[0]:.2f} ms, reference {costs[1]:.2f} ms, while they come",
    )


async def _compare_memory(environment, server, name):
    sockets = 2_000
    ours, _, _ = await measure_memory(environment, sockets)
    process = psutil.Process(environment.stack.supervisor.pid(server.name))
    before = process.memory_info().rss
    opened = await environment.generator.run(
        "open_pool",
        pool="idle",
        kind=KIND,
        url=environment.url(KIND),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=sockets,
        subject="idle",
    )
    await asyncio.sleep(SETTLE_S)
    theirs = (process.memory_info().rss - before) / opened["open"] / 1024
    await environment.generator.run("close_pool", pool="idle")
    return Result(
        row="centrifugo",
        what=f"{sockets:,} idle sockets, each with one subscription",
        unit="KiB a socket",
        ours=ours,
        reference=theirs,
        of=name,
        better="less",
    )
