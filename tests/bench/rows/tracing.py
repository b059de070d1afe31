"""What traces of one message in a hundred cost: the row `pairs`, with and without them, in turn."""

from statistics import median

import psutil

from bench.result import compare_rates
from bench.rows.pairs import PAIRS, measure_pairs
from support.otlp import running_receiver

RATIO = "0.01"
# A process is up to 7 % faster or slower than the next one that runs the same code.
PROCESSES = 11


async def measure(environment, seconds, **settings):
    """One run of `pairs`, and the gateway's processor time for each message, which other programs hardly change."""
    await environment.restart_gateway(ARTCAFE_PUBLISH_RATE="0", PYTHONHASHSEED="0", **settings)
    gateway = psutil.Process(environment.gateway_pid())
    before = gateway.cpu_times()
    run = await measure_pairs(environment, "gateway", seconds)
    after = gateway.cpu_times()
    used = after.user + after.system - before.user - before.system
    return {**run, "microseconds": used * 1e6 / (run["value"] * seconds)}


async def run(environment):
    seconds = 2
    with_traces, without = [], []
    async with running_receiver() as receiver:
        for _ in range(environment.repeats if environment.quick else PROCESSES):
            without.append(await measure(environment, seconds))
            traced = {"ARTCAFE_TRACES_ENDPOINT": receiver.url, "ARTCAFE_TRACES_RATIO": RATIO}
            with_traces.append(await measure(environment, seconds, **traced))
        await environment.restart_gateway()
        spans = len(receiver.spans)
    processor = [median(each["microseconds"] for each in runs) for runs in (with_traces, without)]
    cost = f"{processor[0]:.1f} µs of the gateway's processor a message, {processor[1]:.1f} without"
    yield compare_rates(
        "tracing",
        f"{PAIRS} publishers, {PAIRS} subscribers, 1 % of messages traced",
        "messages/s",
        with_traces,
        without,
        "without traces",
        note=f"{cost}; {spans} spans received",
    )
