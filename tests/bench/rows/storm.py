"""A storm of logins: the clients of a gateway that ended connect to another at once, beside its own clients."""

import asyncio

from bench.result import Result, describe_losses, median
from bench.work import WorkMeter, describe_cost

CLIENTS, QUICK_CLIENTS = 5_000, 2_000
SUBSCRIBERS = 20
RATE = 50
MARGIN_S = 1
# All come from one address.
SETTINGS = {"ARTCAFE_UNAUTHENTICATED_SOCKETS_PER_ADDRESS": "0"}


async def run(environment):
    count = QUICK_CLIENTS if environment.quick else CLIENTS
    await environment.restart_gateway(**SETTINGS)
    storm = await environment.worker("storm")
    runs = []
    try:
        alone = await _measure_others(environment, asyncio.sleep(3))
        for _ in range(environment.repeats):
            work = WorkMeter(environment)
            await work.prepare()
            beside = await _measure_others(environment, _connect(environment, storm, count))
            runs.append({**beside, "cost": await work.finish()})
            await storm.run("leave_all")
    finally:
        await environment.restart_gateway()
    seconds = median(each["result"]["seconds"] for each in runs)
    last = runs[-1]
    yield Result(
        row="storm",
        what=f"{count:,} sockets log in at once, until the last one is back",
        unit="s",
        ours=seconds,
        limit=last["limit"],
        note=f"{count / seconds:,.0f} logins/s; {last['result']['failed']} attempts failed; processor time of one login "
        f"{describe_cost(last['cost'], count)}",
        better="less",
        runs=runs,
    )
    for percentile in ("p50", "p99"):
        yield Result(
            row="storm",
            what=f"{percentile} of other clients during the storm, {SUBSCRIBERS} subscribers, {SUBSCRIBERS * RATE:,} deliveries/s",
            unit="ms",
            ours=median(each[percentile] for each in runs),
            reference=alone[percentile],
            of="without the storm",
            note=describe_losses(runs),
            better="less",
            runs=runs,
        )


async def _connect(environment, storm, count):
    return await storm.run(
        "connect_all",
        within=180,
        url=environment.url("gateway"),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=count,
    )


async def _measure_others(environment, event):
    """The latency of other subscribers until `event` is over, and its result."""
    subject = environment.unique_name("calm")
    await environment.generator.run(
        "open_pool",
        pool=subject,
        kind="gateway",
        url=environment.url("gateway"),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=SUBSCRIBERS,
        subject=subject,
    )
    await environment.wait_until_idle()
    await environment.generator.run("arm", pool=subject, goal=1 << 30, timed=True)
    publishing = asyncio.create_task(
        environment.publisher.run(
            "publish_until_stopped",
            within=300,
            subject=f"{environment.tenant.id}.{subject}",
            rate=RATE,
            **environment.source("gateway"),
        )
    )
    meter = environment.meter()
    meter.start()
    try:
        result = await event
    finally:
        shares = meter.stop()
        await environment.publisher.run("stop_publishing")
        sent = await publishing
    await asyncio.sleep(MARGIN_S)
    checked = await environment.generator.run("check", pool=subject, goal=sent)
    await environment.generator.run("close_pool", pool=subject)
    return {**checked, "result": result, "limit": str(shares)}
