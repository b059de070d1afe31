"""REST: reading one client and fifty, beside the store's own time."""

from bench.environment import dynamodb_of
from bench.result import Result, median

CONCURRENCY = 16


async def run(world):
    count = 192 if world.quick else 800
    async for result in _behind_moto(world, count):
        yield result
    async for result in _behind_memory(world, count):
        yield result


async def _behind_moto(world, count):
    tenant = world.tenant
    one = tenant.agents[0]["id"]
    paths = _paths(world)
    runs = {"one": [], "fifty": []}
    store, limits = [], {}
    for _ in range(world.repeats):
        store.append(
            await world.generator.do(
                "dynamodb", client_id=one, tenant_id=tenant.id, count=count, **dynamodb_of(world)
            )
        )
        for name, path in paths.items():
            await world.settle()
            meter = world.meter()
            meter.start()
            runs[name].append(await _asked(world, path, count if name == "one" else count // 4))
            shares = meter.stop()
            limits[name] = str(shares)
    for name, call in (("one", "GetItem"), ("fifty", "Query")):
        ours = median(run["p50"] for run in runs[name])
        theirs = median(each[name] for each in store)
        rate = median(run["rate"] for run in runs[name])
        yield Result(
            row="rest",
            what=f"{_named(name)}, p50",
            unit="ms",
            ours=ours,
            reference=theirs,
            of=f"moto's own {call}",
            limit=limits[name],
            note=f"difference: {ours - theirs:+.2f} ms; {rate:,.0f} requests/s by {CONCURRENCY}",
            better="less",
            runs=runs[name],
        )


async def _behind_memory(world, count):
    """The same with a tenancy that answers out of memory: what the gateway and the bus cost."""
    await world.stack.supervisor.stop("tenancy")
    player = await world.worker("tenancy's double")
    try:
        await player.do(
            "play_tenancy",
            url=world.nats,
            creds=str(world.stack.directory / "keys" / "tenancy.creds"),
            tenant_id=world.tenant.id,
            agents=world.tenant.agents,
        )
        for name, path in _paths(world).items():
            runs, limits = [], []
            for _ in range(world.repeats):
                await world.settle()
                meter = world.meter()
                meter.start()
                runs.append(await _asked(world, path, 5 * count))
                limits.append(str(meter.stop()))
            ours = median(run["p50"] for run in runs)
            rate = median(run["rate"] for run in runs)
            yield Result(
                row="rest",
                what=f"{_named(name)}, p50, store in memory",
                unit="ms",
                ours=ours,
                limit=limits[-1],
                note=f"all of it is the gateway's, the bus's and presence's; "
                f"{rate:,.0f} requests/s by {CONCURRENCY}",
                better="less",
                runs=runs,
            )
    finally:
        await player.do("stop_playing")
        world.stack.start("tenancy")
        await world.stack.wait_ready()


def _paths(world):
    return {"one": f"/clients/{world.tenant.agents[0]['id']}", "fifty": "/clients?limit=50"}


def _named(name):
    return "GET a client" if name == "one" else "GET a list of 50"


async def _asked(world, path, count):
    return await world.generator.do(
        "rest",
        url=f"{world.stack.api}/api/v1{path}",
        headers=world.tenant.headers,
        count=count,
        concurrency=CONCURRENCY,
    )
