"""Logins: the challenge over WebSocket, and the auth callout behind the broker."""

from bench.result import Result, middle

COUNT = 1_000
CONCURRENCY = 64


async def over_websocket(world, kind):
    await world.settle()
    meter = world.meter()
    meter.start()
    opened = await world.generator.do(
        "open",
        pool="connects",
        kind=kind,
        url=world.url(kind),
        tenant_id=world.tenant.id,
        agents=world.tenant.agents,
        count=COUNT,
        concurrency=CONCURRENCY,
    )
    shares = meter.stop()
    await world.generator.do("close", pool="connects")
    return _found(opened, shares)


async def over_nats(world):
    await world.settle()
    meter = world.meter()
    meter.start()
    opened = await world.generator.do(
        "connect_nats",
        port=world.stack.ports.nats,
        agents=world.tenant.agents,
        count=COUNT,
        concurrency=CONCURRENCY,
    )
    return _found(opened, meter.stop())


def _found(opened, shares):
    rate = opened["open"] / opened["seconds"]
    found = {"value": rate, "exact": not opened["failed"], "limit": str(shares), **opened}
    # What one process would carry that had a processor to itself.
    for name in ("gateway", "identity"):
        found[name] = rate / max(shares.shares[name], 1e-3)
    return found


async def run(world):
    gateway, native, tcp = [], [], []
    for _ in range(world.repeats):
        gateway.append(await over_websocket(world, "gateway"))
        native.append(await over_websocket(world, "native"))
        tcp.append(await over_nats(world))
    for what, runs, reference, of, process in (
        ("WebSocket, challenge in band", gateway, native, "nats-server's WebSocket, auth callout", "gateway"),
        ("NATS, auth callout", tcp, None, "", "identity"),
    ):
        failed = sum(run["failed"] for run in runs)
        why = f"**{failed} failed**: {next(run['why'] for run in runs if run['why'])}, " if failed else ""
        yield Result(
            row="connects",
            what=f"{what}, {COUNT:,} by {CONCURRENCY}",
            unit="connects/s",
            ours=middle(runs)["value"],
            reference=middle(reference)["value"] if reference else None,
            of=of,
            limit=middle(runs)["limit"],
            note=f"{why}by its share of a processor, one {process} process would carry "
            f"{middle(runs)[process]:,.0f}/s",
            runs=runs,
        )
