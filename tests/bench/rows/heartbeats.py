"""A hundred thousand clients that only say they are alive: 3,400 heartbeats a second."""

from bench.result import Result, median

RATE = 3_400


async def run(world):
    clients, seconds = (10_000, 5) if world.quick else (100_000, 10)
    gateway = await world.worker("gateway's double")
    took = await gateway.do(
        "open_connections",
        within=900,
        url=world.nats,
        creds=str(world.stack.directory / "keys" / "gateway.creds"),
        tenant_id=world.tenant.id,
        count=clients,
    )
    for _ in range(20 if not world.quick else 4):
        await world.settle()
    for way, what, arguments in (
        ("beat", "over WebSocket, once a second from its gateway", {}),
        (
            "beat_directly",
            "straight over NATS, a message each",
            {"port": world.stack.ports.nats, "agent": world.tenant.agents[0], "tenant_id": world.tenant.id},
        ),
    ):
        runs = []
        for _ in range(world.repeats):
            await world.settle()
            meter = world.meter()
            meter.start()
            await gateway.do(way, within=seconds + 60, rate=RATE, seconds=seconds, **arguments)
            shares = meter.stop().shares
            runs.append({name: 100 * share for name, share in shares.items()})
        others = ", ".join(
            f"{name} {median(run[name] for run in runs):.0f}%"
            for name in ("redis", "moto", "nats-server", "metering")
        )
        yield Result(
            row="heartbeats",
            what=f"{RATE:,}/s of {clients:,} clients {what}",
            unit="% of a processor in presence",
            ours=median(run["presence"] for run in runs),
            note=f"besides: {others} (moto is the stand-in for DynamoDB); "
            f"the clients came at {clients / took:,.0f}/s",
            better="less",
            runs=runs,
        )
    await gateway.do("close_connections")
