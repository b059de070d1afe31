"""The cost of metering: fan-out with and without it."""

from pathlib import Path

from bench.result import Result, describe_losses, median, median_run
from bench.rows.fanout import measure_fanout

SUBSCRIBERS = 100
WITHOUT_METERING = Path(__file__).parents[1] / "without_metering"


async def run(environment):
    metered, unmetered = [], []
    # The difference is smaller than the noise of one run.
    for _ in range(1 if environment.quick else 2 * environment.repeats):
        metered.append(await measure_fanout(environment, "gateway", SUBSCRIBERS))
        await environment.restart_gateway(PYTHONPATH=str(WITHOUT_METERING))
        await environment.stack.supervisor.stop("metering")
        unmetered.append(await measure_fanout(environment, "gateway", SUBSCRIBERS))
        environment.stack.settings.pop("PYTHONPATH")
        environment.stack.start("metering")
        await environment.restart_gateway()
    yield Result(
        row="counting",
        what=f"{SUBSCRIBERS} subscribers",
        unit="deliveries/s",
        ours=median(each["value"] for each in metered),
        reference=median(each["value"] for each in unmetered),
        of="nothing counted, no metering",
        limit=median_run(metered)["limit"],
        note=describe_losses(metered, unmetered),
        runs=[metered, unmetered],
    )
