"""One publisher at the broker, many WebSocket subscribers, as fast as it goes without loss."""

from bench.result import Result, losses, middle

WINDOW = 2_000
TIMEOUT_S = 60
NAIVE_DELIVERIES = 400_000
SIZES = (10, 100, 1_000)


def messages_for(world, subscribers):
    """So many messages that it takes a while, and not long."""
    deliveries = 500_000 if world.quick else 3_000_000
    return max(400, min(150_000, deliveries // subscribers))


async def measured(world, kind, subscribers, *, count=None, window=WINDOW, tenant=None, channel=None):
    """Deliveries a second from the first publish to the last delivery."""
    count = count or messages_for(world, subscribers)
    tenant = tenant or world.tenant
    subject = channel or world.fresh()
    raw = channel or f"{tenant.id}.{subject}"
    opened = await world.generator.do(
        "open",
        pool=subject,
        kind=kind,
        url=world.url(kind),
        tenant_id=tenant.id,
        agents=tenant.agents,
        count=subscribers,
        subject=subject,
    )
    if opened["failed"]:
        raise RuntimeError(f"{opened['failed']} sockets did not connect: {opened['why']}")
    path = str(world.stack.directory / f"{world.fresh()}.sock")
    try:
        await world.publisher.do(
            "publish",
            port=world.stack.ports.nats,
            seed=tenant.agents[0]["seed"],
            subject=raw,
            count=count,
            window=window,
            path=path,
        )
        await world.generator.do("arm", pool=subject, goal=count, progress=path, brief=True)
        await world.settle()
        meter = world.meter()
        meter.start()
        began = await world.publisher.do("go")
        at = await world.generator.do("wait", pool=subject, timeout=TIMEOUT_S)
        shares = meter.stop()
        ended = await world.generator.do("check", pool=subject, goal=count)
    finally:
        await world.generator.do("close", pool=subject)
    seconds = (at - began) / 1e9 if at else None
    return {
        "value": subscribers * count / seconds if seconds else None,
        "exact": ended["exact"],
        "closed": ended["closed"],
        "limit": str(shares),
        "seconds": seconds,
        "messages": count,
    }


async def run(world):
    for subscribers in SIZES:
        ours, native = [], []
        for _ in range(world.repeats):
            ours.append(await measured(world, "gateway", subscribers))
            native.append(await measured(world, "native", subscribers))
        naive = await _naive(world, subscribers)
        for runs, of in ((native, "nats-server's WebSocket"), *(((naive, "naive"),) if naive else ())):
            yield Result(
                row="fan-out",
                what=f"{subscribers:,} subscribers",
                unit="deliveries/s",
                ours=middle(ours)["value"],
                reference=middle(runs)["value"],
                of=of,
                limit=middle(ours)["limit"],
                note=" ".join(filter(None, (losses(ours, runs), f"reference: {middle(runs)['limit']}"))),
                runs=[ours, runs],
            )


async def _naive(world, subscribers):
    if not world.has_naive:
        return []
    await world.new_gateway(ARTCAFE_FANOUT="naive")
    try:
        count = max(400, NAIVE_DELIVERIES // subscribers)
        return [await measured(world, "gateway", subscribers, count=count) for _ in range(world.repeats)]
    finally:
        await world.new_gateway()
