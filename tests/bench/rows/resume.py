"""Fan-out of a channel to subscribers that follow its history, compared with plain subscribers."""

from bench.result import Result, describe_losses, median_run
from bench.rows.fanout import measure_fanout

SUBSCRIBERS = 100


async def run(environment):
    resuming, plain = [], []
    for kind, runs in (("resuming", resuming), ("gateway", plain)) * environment.repeats:
        channel = await environment.create_channel()
        runs.append(await measure_fanout(environment, kind, SUBSCRIBERS, channel=channel))
    yield Result(
        row="resume",
        what=f"{SUBSCRIBERS} subscribers of a channel, from its end on",
        unit="deliveries/s",
        ours=median_run(resuming)["value"],
        reference=median_run(plain)["value"],
        of="without a place",
        limit=median_run(resuming)["limit"],
        note=describe_losses(resuming, plain),
        runs=[resuming, plain],
    )
