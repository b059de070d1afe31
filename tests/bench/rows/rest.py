"""REST latency of reading one client and fifty, with the latency of the store as the reference."""

from bench.environment import dynamodb_address
from bench.result import Result, median

CONCURRENCY = 16
DESCRIPTIONS = {"one": "GET a client", "fifty": "GET a list of 50"}


async def run(environment):
    count = 192 if environment.quick else 800
    async for result in _with_dynamodb(environment, count):
        yield result
    async for result in _with_memory(environment, count):
        yield result


async def _with_dynamodb(environment, count):
    tenant = environment.tenant
    paths = _paths(environment)
    runs = {"one": [], "fifty": []}
    store, limits = [], {}
    for _ in range(environment.repeats):
        store.append(
            await environment.generator.run(
                "measure_dynamodb",
                client_id=tenant.agents[0]["id"],
                tenant_id=tenant.id,
                count=count,
                **dynamodb_address(environment),
            )
        )
        for name, path in paths.items():
            await environment.wait_until_idle()
            meter = environment.meter()
            meter.start()
            runs[name].append(await _measure_get(environment, path, count if name == "one" else count // 4))
            limits[name] = str(meter.stop())
    for name, operation in (("one", "GetItem"), ("fifty", "Query")):
        ours = median(each["p50"] for each in runs[name])
        reference = median(each[name] for each in store)
        rate = median(each["rate"] for each in runs[name])
        yield Result(
            row="rest",
            what=f"{DESCRIPTIONS[name]}, p50",
            unit="ms",
            ours=ours,
            reference=reference,
            of=f"moto's own {operation}",
            limit=limits[name],
            note=f"difference: {ours - reference:+.2f} ms; {rate:,.0f} requests/s by {CONCURRENCY}",
            better="less",
            runs=runs[name],
        )


async def _with_memory(environment, count):
    """The same requests with an in-memory tenancy: the cost of the gateway and the bus."""
    await environment.stack.supervisor.stop("tenancy")
    tenancy = await environment.worker("tenancy's double")
    try:
        await tenancy.run(
            "start_tenancy",
            url=environment.nats_url,
            creds=str(environment.stack.directory / "keys" / "tenancy.creds"),
            tenant_id=environment.tenant.id,
            agents=environment.tenant.agents,
        )
        for name, path in _paths(environment).items():
            runs, limits = [], []
            for _ in range(environment.repeats):
                await environment.wait_until_idle()
                meter = environment.meter()
                meter.start()
                runs.append(await _measure_get(environment, path, 5 * count))
                limits.append(str(meter.stop()))
            ours = median(each["p50"] for each in runs)
            rate = median(each["rate"] for each in runs)
            yield Result(
                row="rest",
                what=f"{DESCRIPTIONS[name]}, p50, store in memory",
                unit="ms",
                ours=ours,
                limit=limits[-1],
                note=f"all of it is the gateway's, the bus's and presence's; "
                f"{rate:,.0f} requests/s by {CONCURRENCY}",
                better="less",
                runs=runs,
            )
    finally:
        await tenancy.run("stop_tenancy")
        environment.stack.start("tenancy")
        await environment.stack.wait_ready()


def _paths(environment):
    return {"one": f"/clients/{environment.tenant.agents[0]['id']}", "fifty": "/clients?limit=50"}


async def _measure_get(environment, path, count):
    return await environment.generator.run(
        "measure_get",
        url=f"{environment.stack.api}/api/v1{path}",
        headers=environment.tenant.headers,
        count=count,
        concurrency=CONCURRENCY,
    )
