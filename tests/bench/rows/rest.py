"""REST: reading one client and fifty, beside the store's own time."""

from bench.result import Result, median
from bench.world import dynamodb_of

CONCURRENCY = 16


async def run(world):
    count = 192 if world.quick else 800
    tenant = world.tenant
    one = tenant.agents[0]["id"]
    paths = {"one": f"/clients/{one}", "fifty": "/clients?limit=50"}
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
            runs[name].append(
                await world.generator.do(
                    "rest",
                    url=f"{world.stack.api}/api/v1{path}",
                    headers=tenant.headers,
                    count=count if name == "one" else count // 4,
                    concurrency=CONCURRENCY,
                )
            )
            shares = meter.stop()
            limits[name] = str(shares)
    for name, call in (("one", "GetItem"), ("fifty", "Query")):
        ours = median(run["p50"] for run in runs[name])
        theirs = median(each[name] for each in store)
        rate = median(run["rate"] for run in runs[name])
        yield Result(
            row="rest",
            what=f"GET {'a client' if name == 'one' else 'a list of 50'}, p50",
            unit="ms",
            ours=ours,
            reference=theirs,
            of=f"moto's own {call}",
            limit=limits[name],
            note=f"difference: {ours - theirs:+.2f} ms; {rate:,.0f} requests/s by {CONCURRENCY}",
            better="less",
            runs=runs[name],
        )
