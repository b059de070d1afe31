"""Login rate: the challenge over WebSocket, and the auth callout behind the broker; and what one login costs."""

from bench.result import Result, median_run
from bench.work import WorkMeter, describe_cost

COUNT = 1_000
CONCURRENCY = 64


async def measure_websocket(environment, kind):
    work = WorkMeter(environment)
    await work.prepare()
    meter = environment.meter()
    meter.start()
    opened = await environment.generator.run(
        "open_pool",
        pool="connects",
        kind=kind,
        url=environment.url(kind),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=COUNT,
        concurrency=CONCURRENCY,
    )
    shares = meter.stop()
    begun = await work.finish()
    await work.prepare()
    await environment.generator.run("close_pool", pool="connects")
    ended = await work.finish()
    return {**_summarize(opened, shares), "begun": begun, "ended": ended}


async def measure_nats(environment):
    await environment.wait_until_idle()
    meter = environment.meter()
    meter.start()
    opened = await environment.generator.run(
        "connect_nats",
        port=environment.stack.ports.nats,
        agents=environment.tenant.agents,
        count=COUNT,
        concurrency=CONCURRENCY,
    )
    return _summarize(opened, meter.stop())


def _summarize(opened, shares):
    rate = opened["open"] / opened["seconds"]
    run = {"value": rate, "exact": not opened["failed"], "limit": str(shares), **opened}
    # The extrapolated rate of a process that has one processor to itself.
    for name in ("gateway", "identity"):
        run[name] = rate / max(shares.shares[name], 1e-3)
    return run


async def run(environment):
    gateway, native, tcp = [], [], []
    for _ in range(environment.repeats):
        gateway.append(await measure_websocket(environment, "gateway"))
        native.append(await measure_websocket(environment, "native"))
        tcp.append(await measure_nats(environment))
    for what, runs, reference, of, process in (
        ("WebSocket, challenge in band", gateway, native, "nats-server's WebSocket, auth callout", "gateway"),
        ("NATS, auth callout", tcp, None, "", "identity"),
    ):
        failed = sum(each["failed"] for each in runs)
        errors = [each["errors"] for each in runs if each["errors"]]
        failures = f"**{failed} failed**: {errors[0]}, " if failed else ""
        yield Result(
            row="connects",
            what=f"{what}, {COUNT:,} by {CONCURRENCY}",
            unit="connects/s",
            ours=median_run(runs)["value"],
            reference=median_run(reference)["value"] if reference else None,
            of=of,
            limit=median_run(runs)["limit"],
            note=f"{failures}by its share of a processor, one {process} process would carry "
            f"{median_run(runs)[process]:,.0f}/s",
            runs=runs,
        )
    for what, name in (("login", "begun"), ("end", "ended")):
        ours, reference = _median_cost(gateway, name), _median_cost(native, name)
        yield Result(
            row="connects",
            what=f"processor time of one {what}, WebSocket",
            unit="ms",
            ours=_cost_ms(ours, name),
            reference=_cost_ms(reference, name),
            of="nats-server's WebSocket, auth callout",
            note=f"without moto and the load generator: {describe_cost(ours[name], ours['open'])}",
            better="less",
            runs=[[each[name] for each in runs] for runs in (gateway, native)],
        )


def _cost_ms(run, name):
    return sum(run[name].values()) / run["open"] * 1000


def _median_cost(runs, name):
    return sorted(runs, key=lambda run: _cost_ms(run, name))[(len(runs) - 1) // 2]
