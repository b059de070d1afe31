"""What is measured at each size."""

import asyncio
import re
import statistics
import time
from contextlib import asynccontextmanager

import psutil
from redis.asyncio import Redis

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.dev.stack import LOOPBACK, READY_WITHIN_S, REGION
from artcafe_common.storage.dynamo import Database
from artcafe_metering.archive import UsageArchive
from artcafe_metering.broker_usage import BrokerUsageCollector
from artcafe_metering.owners import OwnerResolver
from artcafe_metering.recovery import UsageRecovery
from artcafe_metering.store import open_counters
from bench.meter import CpuMeter
from bench.sockets import connect as connect_socket
from scale.peers import first_login, log_in_all
from support.aws import aws_environment

LOOKS = 7
SOCKETS_AT_ONCE = 32
WARM_UP = 20
SETTLE_S = 3
KIB = 1024


class Machine:
    """The processes of a stack, and what they take."""

    def __init__(self, stack):
        self.stack = stack
        self.nats_url = f"nats://{LOOPBACK}:{stack.ports.nats}"
        self.redis_url = f"redis://{LOOPBACK}:{stack.ports.redis}/0"

    async def shares(self, seconds):
        """Each process's share of a processor."""
        supervisor = self.stack.supervisor
        meter = CpuMeter({name: supervisor.pid(name) for name in supervisor.names})
        meter.start()
        await asyncio.sleep(seconds)
        return meter.stop().shares

    def memory(self, name):
        return psutil.Process(self.stack.supervisor.pid(name)).memory_info().rss

    async def redis_memory(self):
        redis = Redis.from_url(self.redis_url)
        try:
            return (await redis.info("memory"))["used_memory"]
        finally:
            await redis.aclose()

    async def restart(self, name):
        await self.stack.supervisor.stop(name)
        self.stack.start(name)
        async with asyncio.timeout(READY_WITHIN_S):
            while self.stack.supervisor.pid(name) is None:
                await asyncio.sleep(0.02)


async def wait_for_accounts(machine, count, *, within_s):
    """Wait until the broker has that many accounts; returns the seconds."""
    began = time.monotonic()
    # The broker's list of them does not fit into one message from some thousands on.
    stored = machine.stack.directory / "data/nats/accounts"
    async with asyncio.timeout(within_s):
        while sum(1 for _ in stored.glob("A*.jwt")) < count:
            await asyncio.sleep(0.5)
    return time.monotonic() - began


async def measure_identity_start(machine, organization):
    """Seconds from the start of identity's process to the first login that is answered."""
    await machine.stack.supervisor.stop("identity")
    began = time.monotonic()
    machine.stack.start("identity")
    await first_login(machine.stack.ports.nats, organization, within_s=120)
    return time.monotonic() - began


async def measure_logins(machine, organizations, *, callout=True):
    """The peers, their logins a second, and the errors."""
    began = time.monotonic()
    peers, errors = await log_in_all(machine.stack.ports.nats, organizations, callout=callout)
    return peers, len(peers) / (time.monotonic() - began), errors


@asynccontextmanager
async def open_collector(machine):
    """The part of metering that reads the broker's connections, in this process."""
    keys = machine.stack.directory / "keys"
    with aws_environment(machine.stack):
        async with (
            open_counters(machine.redis_url) as counters,
            Database(region=REGION, prefix="artcafe-") as database,
        ):
            system = await connect(machine.nats_url, keys / "metering-system.creds", name="metering")
            nc = await connect(machine.nats_url, keys / "metering.creds", name="metering")
            try:
                yield BrokerUsageCollector(
                    system=system,
                    owners=OwnerResolver(Bus(nc, service="metering")),
                    counters=counters,
                    recovery=UsageRecovery(counters, UsageArchive(database)),
                )
            finally:
                await nc.close()
                await system.close()


async def measure_looks(machine):
    """Seconds of metering's first look at the connections, and of the median and the longest of the next."""
    seconds = []
    async with open_collector(machine) as collector:
        for _ in range(LOOKS):
            began = time.monotonic()
            await collector.collect_open()
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(max(0, 1 - seconds[-1]))
    return seconds[0], statistics.median(seconds[1:]), max(seconds[1:])


async def publish(peers, seconds):
    """One message a second from each peer; returns how many were sent."""
    began, sent = time.monotonic(), 0
    for second in range(seconds):
        for number, peer in enumerate(peers):
            if peer.is_open:
                peer.publish()
                sent += 1
            if number % 100 == 0:
                await asyncio.sleep(max(0, began + second + number / len(peers) - time.monotonic()))
    return sent


async def measure_sockets(machine, organizations):
    """KiB in the gateway and in the broker for each organization's first WebSocket, and the sockets."""
    await machine.restart("gateway")
    await machine.stack.wait_ready()
    url = f"ws://{LOOPBACK}:{machine.stack.ports.api}"
    # What a gateway allocates once is no organization's.
    first, organizations = organizations[:WARM_UP], organizations[WARM_UP:]
    warm = [await connect_socket("gateway", url, each.id, each.agent, "scale") for each in first]
    await asyncio.sleep(SETTLE_S)
    before = {name: machine.memory(name) for name in ("gateway", "nats")}
    limit = asyncio.Semaphore(SOCKETS_AT_ONCE)

    async def open_one(organization):
        async with limit:
            return await connect_socket("gateway", url, organization.id, organization.agent, "scale")

    began = time.monotonic()
    results = await asyncio.gather(*map(open_one, organizations), return_exceptions=True)
    seconds = time.monotonic() - began
    sockets = [each for each in results if not isinstance(each, BaseException)]
    errors = [repr(each) for each in results if isinstance(each, BaseException)]
    await asyncio.sleep(SETTLE_S)
    used = {name: (machine.memory(name) - before[name]) / KIB / max(1, len(sockets)) for name in before}
    return [*warm, *sockets], len(sockets) / seconds, used, errors


async def measure_broker_restart(machine, organization):
    """Seconds from the broker's end to the first login that is answered."""
    began = time.monotonic()
    await machine.restart("nats")
    await first_login(machine.stack.ports.nats, organization, within_s=120)
    seconds = time.monotonic() - began
    await machine.stack.wait_ready()
    return seconds


def accounts_without_jetstream(machine):
    """How many accounts the broker refused JetStream, for want of storage that it had not reserved."""
    log = (machine.stack.directory / "logs/nats.log").read_text(errors="replace")
    return len(set(re.findall(r"configuring jetstream for account \[(\w+)", log)))
