"""Deliveries and logins with one gateway process and with two, which share a port."""

from bench.result import compare_rates
from bench.rows.connects import CONCURRENCY, COUNT, measure_websocket
from bench.rows.fanout import measure_fanout

SUBSCRIBERS = 100
WORKERS = (1, 2)


async def run(environment):
    deliveries, logins = {}, {}
    try:
        for workers in WORKERS:
            await environment.restart_gateway(ARTCAFE_GATEWAY_WORKERS=str(workers))
            deliveries[workers] = [
                await measure_fanout(environment, "gateway", SUBSCRIBERS) for _ in range(environment.repeats)
            ]
            logins[workers] = [
                await measure_websocket(environment, "gateway") for _ in range(environment.repeats)
            ]
    finally:
        await environment.restart_gateway()
    for what, unit, runs in (
        (f"{SUBSCRIBERS} subscribers", "deliveries/s", deliveries),
        (f"logins, {COUNT:,} by {CONCURRENCY}", "connects/s", logins),
    ):
        one, two = (runs[workers] for workers in WORKERS)
        yield compare_rates("workers", f"{what}, two gateway processes", unit, two, one, "one process")
