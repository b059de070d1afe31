"""Fan-out throughput by number of subscribers."""

from bench.result import Result, describe_losses, median_run
from bench.rows.fanout import measure_fanout

BASE = 100


async def run(environment):
    sizes = (10, BASE, 1_000) if environment.quick else (10, BASE, 1_000, 5_000)
    measured = {}
    for subscribers in sizes:
        measured[subscribers] = [
            await measure_fanout(environment, "gateway", subscribers) for _ in range(environment.repeats)
        ]
    for subscribers, runs in measured.items():
        yield Result(
            row="growth",
            what=f"{subscribers:,} subscribers",
            unit="deliveries/s",
            ours=median_run(runs)["value"],
            reference=median_run(measured[BASE])["value"],
            of=f"{BASE} subscribers",
            limit=median_run(runs)["limit"],
            note=describe_losses(runs),
            runs=runs,
        )
