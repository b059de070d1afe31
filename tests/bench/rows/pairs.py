"""Fifty pairs, each publisher with a socket and a subject of its own."""

from bench.result import Result, losses, middle

PAIRS = 50
WINDOW = 64


async def measured(world, kind, seconds):
    subject = world.fresh("pair")
    common = {
        "kind": kind,
        "url": world.url(kind),
        "tenant_id": world.tenant.id,
        "agents": world.tenant.agents,
        "count": PAIRS,
    }
    await world.generator.do("open", pool="receivers", subject=subject, own=True, **common)
    await world.generator.do("open", pool="senders", **common)
    try:
        await world.settle()
        meter = world.meter()
        meter.start()
        ended = await world.generator.do(
            "pairs",
            senders="senders",
            receivers="receivers",
            tenant_id=world.tenant.id,
            subject=subject,
            window=WINDOW,
            seconds=seconds,
        )
        shares = meter.stop()
    finally:
        await world.generator.do("close", pool="senders")
        await world.generator.do("close", pool="receivers")
    return {"value": ended["rate"], "exact": ended["exact"], "limit": str(shares)}


async def run(world):
    seconds = 2 if world.quick else 5
    ours, native = [], []
    await world.new_gateway(ARTCAFE_PUBLISH_RATE="0")  # what the gateway can, not what it permits
    for _ in range(world.repeats):
        ours.append(await measured(world, "gateway", seconds))
        native.append(await measured(world, "native", seconds))
    await world.new_gateway()
    yield Result(
        row="pairs",
        what=f"{PAIRS} publishers, {PAIRS} subscribers",
        unit="messages/s",
        ours=middle(ours)["value"],
        reference=middle(native)["value"],
        of="nats-server's WebSocket",
        limit=middle(ours)["limit"],
        note=" ".join(filter(None, (losses(ours, native), f"reference: {middle(native)['limit']}"))),
        runs=[ours, native],
    )
