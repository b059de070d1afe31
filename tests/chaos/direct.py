"""Numbered messages of clients that are connected to the broker."""

import asyncio
import itertools
import json
from contextlib import suppress

import nats.errors
from nats.aio.client import Client as Nats

from chaos.findings import Arrivals, compare

RATE_S = 0.05
# So that a node that hangs is noticed as soon as one that is away.
PING_INTERVAL_S = 1
ACKNOWLEDGED_WITHIN_S = 2.0
SETTLED_AFTER_S = 1.0


async def connect(stack, client, *, first=None, without=None):
    """A connection that finds another node by itself; to the node `first`, and never to `without`."""
    names = sorted((name for name in stack.node_urls if name != without), key=lambda name: name != first)
    nc = Nats()

    async def ignore(_error):
        return None

    await nc.connect(
        [stack.node_urls[name] for name in names],
        nkeys_seed_str=client.seed,
        tls=stack.create_tls(),
        dont_randomize=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        connect_timeout=2,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=2,
        error_cb=ignore,
    )
    return nc


class StoredTraffic:
    """Publishes to a channel with the broker's acknowledgement, each message until it comes."""

    name = "direct NATS channel"

    def __init__(self, nc, gateways, channel):
        self._nc = nc
        self._gateways = gateways
        self._channel = channel
        self._stopping = False
        self.attempts = 0
        self.arrivals = Arrivals()

    async def start(self, tasks):
        self._publishing = tasks.create_task(self._publish())

    async def _publish(self):
        number = 0
        while not self._stopping:
            self.attempts += 1
            with suppress(nats.errors.Error, TimeoutError, OSError):
                answer = await self._nc.request(
                    self._channel["subject"],
                    str(number).encode(),
                    timeout=ACKNOWLEDGED_WITHIN_S,
                    headers={"Nats-Msg-Id": f"{self._channel['channel_id']}-{number}"},
                )
                if "error" not in json.loads(answer.data):
                    self.arrivals.add(number)
                    number += 1
            await asyncio.sleep(RATE_S)

    async def stop(self):
        self._stopping = True
        await self._publishing
        return {
            "acknowledged": len(self.arrivals.numbers),
            "longest_gap_s": self.arrivals.longest_gap_s,
            **compare(self.arrivals.numbers, await self._gateways.read_history(self._channel["channel_id"])),
        }


class SubjectTraffic:
    """Publishes to a subject that nothing stores: at most once."""

    name = "direct NATS subject"

    def __init__(self, publisher, subscriber, subject):
        self._publisher = publisher
        self._subscriber = subscriber
        self._subject = subject
        self._sent = 0
        self._stopping = False
        self.arrivals = Arrivals()

    @property
    def attempts(self):
        return self._sent

    async def start(self, tasks):
        async def receive(message):
            self.arrivals.add(int(message.data))

        await self._subscriber.subscribe(self._subject, cb=receive)
        await self._subscriber.flush()
        self._publishing = tasks.create_task(self._publish())

    async def _publish(self):
        for number in itertools.count():
            if self._stopping:
                return
            with suppress(nats.errors.Error):
                await self._publisher.publish(self._subject, str(number).encode())
                self._sent = number + 1
            await asyncio.sleep(RATE_S)

    async def stop(self):
        self._stopping = True
        await self._publishing
        gap = self.arrivals.longest_gap_s
        await asyncio.sleep(SETTLED_AFTER_S)
        found = compare(range(self._sent), self.arrivals.numbers)
        return {"acknowledged": 0, "longest_gap_s": gap, **found}
