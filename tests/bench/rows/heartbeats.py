"""CPU use of presence for the heartbeats of a hundred thousand idle clients: 3,400 per second."""

from bench.result import Result, median

RATE = 3_400


async def run(environment):
    clients, seconds = (10_000, 5) if environment.quick else (100_000, 10)
    gateway = await environment.worker("gateway's double")
    opening_s = await gateway.run(
        "open_connections",
        within=900,
        url=environment.nats_url,
        creds=str(environment.stack.directory / "keys" / "gateway.creds"),
        tenant_id=environment.tenant.id,
        count=clients,
    )
    for _ in range(20 if not environment.quick else 4):
        await environment.wait_until_idle()
    for job, what, arguments in (
        ("send_heartbeat_batches", "over WebSocket, once a second from its gateway", {}),
        (
            "publish_heartbeats",
            "straight over NATS, a message each",
            {
                "port": environment.stack.ports.nats,
                "agent": environment.tenant.agents[0],
                "tenant_id": environment.tenant.id,
            },
        ),
    ):
        runs = []
        for _ in range(environment.repeats):
            await environment.wait_until_idle()
            meter = environment.meter()
            meter.start()
            await gateway.run(job, within=seconds + 60, rate=RATE, seconds=seconds, **arguments)
            shares = meter.stop().shares
            runs.append({name: 100 * share for name, share in shares.items()})
        others = ", ".join(
            f"{name} {median(each[name] for each in runs):.0f}%"
            for name in ("redis", "moto", "nats-server", "metering")
        )
        yield Result(
            row="heartbeats",
            what=f"{RATE:,}/s of {clients:,} clients {what}",
            unit="% of a processor in presence",
            ours=median(each["presence"] for each in runs),
            note=f"besides: {others} (moto is the stand-in for DynamoDB); "
            f"the clients came at {clients / opening_s:,.0f}/s",
            better="less",
            runs=runs,
        )
    await gateway.run("close_connections")
