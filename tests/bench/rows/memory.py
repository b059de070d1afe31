"""The gateway's memory per idle, authenticated socket."""

import asyncio

import psutil

from bench.result import Result

SETTLE_S = 2


async def measure_memory(environment, sockets):
    """KiB per socket, the result of opening them, and the gateway's limit of open files."""
    # A restarted gateway has no free memory to reuse.
    await environment.restart_gateway()
    gateway = psutil.Process(environment.gateway_pid())
    before = gateway.memory_info().rss
    opened = await environment.generator.run(
        "open_pool",
        pool="idle",
        kind="gateway",
        url=environment.url("gateway"),
        tenant_id=environment.tenant.id,
        agents=environment.tenant.agents,
        count=sockets,
        subject="idle",
    )
    await asyncio.sleep(SETTLE_S)
    used = gateway.memory_info().rss - before
    open_files_limit, _ = gateway.rlimit(psutil.RLIMIT_NOFILE)
    await environment.generator.run("close_pool", pool="idle")
    return used / opened["open"] / 1024, opened, open_files_limit


async def run(environment):
    for sockets in (2_000,) if environment.quick else (2_000, 5_000):
        size, opened, open_files_limit = await measure_memory(environment, sockets)
        failed = f"**{opened['failed']} did not connect**, " if opened["failed"] else ""
        yield Result(
            row="memory",
            what=f"{opened['open']:,} idle sockets, each with one subscription",
            unit="KiB a socket",
            ours=size,
            note=f"{failed}they came at {opened['open'] / opened['seconds']:,.0f}/s; "
            f"the gateway may have {open_files_limit:,} files open",
            better="less",
        )
