"""Fan-out of a channel to those who follow its history, beside those who only listen."""

from bench.result import Result, losses, middle
from bench.rows.fanout import measured

SUBSCRIBERS = 100


async def run(world):
    following, listening = [], []
    for _ in range(world.repeats):
        following.append(await measured(world, "resuming", SUBSCRIBERS, channel=await world.channel()))
        listening.append(await measured(world, "gateway", SUBSCRIBERS, channel=await world.channel()))
    yield Result(
        row="resume",
        what=f"{SUBSCRIBERS} subscribers of a channel, from its end on",
        unit="deliveries/s",
        ours=middle(following)["value"],
        reference=middle(listening)["value"],
        of="without a place",
        limit=middle(following)["limit"],
        note=losses(following, listening),
        runs=[following, listening],
    )
