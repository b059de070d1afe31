"""Deliveries a second as subscribers grow in number."""

from bench.result import Result, losses, middle
from bench.rows.fanout import measured

BASE = 100


async def run(world):
    sizes = (10, BASE, 1_000) if world.quick else (10, BASE, 1_000, 5_000)
    found = {}
    for subscribers in sizes:
        found[subscribers] = [await measured(world, "gateway", subscribers) for _ in range(world.repeats)]
    for subscribers, runs in found.items():
        yield Result(
            row="growth",
            what=f"{subscribers:,} subscribers",
            unit="deliveries/s",
            ours=middle(runs)["value"],
            reference=middle(found[BASE])["value"],
            of=f"{BASE} subscribers",
            limit=middle(runs)["limit"],
            note=losses(runs),
            runs=runs,
        )
