"""Fan-out with the counting taken out: what metering costs the path of messages."""

from pathlib import Path

from bench.result import Result, losses, median, middle
from bench.rows.fanout import measured

SUBSCRIBERS = 100
UNCOUNTED = Path(__file__).parents[1] / "without_metering"


async def run(world):
    counted, uncounted = [], []
    # The difference is smaller than the noise of one run.
    for _ in range(1 if world.quick else 2 * world.repeats):
        counted.append(await measured(world, "gateway", SUBSCRIBERS))
        await world.new_gateway(PYTHONPATH=str(UNCOUNTED))
        await world.stack.supervisor.stop("metering")
        uncounted.append(await measured(world, "gateway", SUBSCRIBERS))
        world.stack.settings.pop("PYTHONPATH")
        world.stack.start("metering")
        await world.new_gateway()
    yield Result(
        row="counting",
        what=f"{SUBSCRIBERS} subscribers",
        unit="deliveries/s",
        ours=median(run["value"] for run in counted),
        reference=median(run["value"] for run in uncounted),
        of="nothing counted, no metering",
        limit=middle(counted)["limit"],
        note=losses(counted, uncounted),
        runs=[counted, uncounted],
    )
