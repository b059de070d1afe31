"""What an authenticated socket costs that says nothing."""

import asyncio

import psutil

from bench.result import Result

SETTLE_S = 2


async def measured(world, sockets):
    await world.new_gateway()  # a gateway whose memory nobody used before
    gateway = psutil.Process(world.gateway_pid())
    before = gateway.memory_info().rss
    opened = await world.generator.do(
        "open",
        pool="idle",
        kind="gateway",
        url=world.url("gateway"),
        tenant_id=world.tenant.id,
        agents=world.tenant.agents,
        count=sockets,
        subject="idle",
    )
    await asyncio.sleep(SETTLE_S)
    used = gateway.memory_info().rss - before
    soft, _ = gateway.rlimit(psutil.RLIMIT_NOFILE)
    await world.generator.do("close", pool="idle")
    return used / opened["open"] / 1024, opened, soft


async def run(world):
    for sockets in (2_000,) if world.quick else (2_000, 5_000):
        size, opened, files = await measured(world, sockets)
        failed = f"**{opened['failed']} did not connect**, " if opened["failed"] else ""
        yield Result(
            row="memory",
            what=f"{opened['open']:,} idle sockets, each with one subscription",
            unit="KiB a socket",
            ours=size,
            note=f"{failed}they came at {opened['open'] / opened['seconds']:,.0f}/s; the gateway may have {files:,} files open",
            better="less",
        )
