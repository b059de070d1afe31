"""Numbered messages of clients that are connected to the broker."""

import asyncio
import itertools
import json
import urllib.parse

import artcafe_client
from artcafe_client.errors import ArtcafeError
from chaos.findings import Arrivals, compare

RATE_S = 0.05
ACKNOWLEDGED_WITHIN_S = 2.0
SETTLED_AFTER_S = 1.0


async def connect(stack, tenant, client, *, first=None, without=None):
    """A connection of the SDK, which finds another node by itself; at first to the node `first`, and never to `without`."""
    urls = {name: url for name, url in stack.node_urls.items() if name != without}
    first_id = None if first is None else await read_server_id(urls[first])
    while True:
        sdk = artcafe_client.connect(
            ",".join(urls.values()),
            seed=client.seed,
            client_id=client.id,
            tenant_id=tenant.id,
            transport="nats",
            tls=stack.create_tls(),
            ack_timeout=ACKNOWLEDGED_WITHIN_S,
        )
        await sdk.open()
        if first is None or first_id in sdk.connection_id:
            return sdk
        await sdk.close()


async def read_server_id(url):
    """The id of a server's process, which it says at once."""
    address = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        return json.loads((await reader.readline()).removeprefix(b"INFO "))["server_id"]
    finally:
        writer.transport.abort()


class StoredTraffic:
    """Publishes to a channel with the broker's acknowledgement, each message until it comes."""

    name = "direct NATS channel"

    def __init__(self, sdk, gateways, channel_id):
        self._channel = sdk.channel(channel_id)
        self._gateways = gateways
        self._stopping = False
        self.attempts = 0
        self.arrivals = Arrivals()

    async def start(self, tasks):
        self._publishing = tasks.create_task(self._publish())

    async def _publish(self):
        number = 0
        while not self._stopping:
            self.attempts += 1
            try:
                await self._channel.publish(number, message_id=str(number))
                self.arrivals.add(number)
                number += 1
            except ArtcafeError:
                pass
            await asyncio.sleep(RATE_S)

    async def stop(self):
        self._stopping = True
        await self._publishing
        return {
            "acknowledged": len(self.arrivals.numbers),
            "longest_gap_s": self.arrivals.longest_gap_s,
            **compare(self.arrivals.numbers, await self._gateways.read_history(self._channel.name)),
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
        subscription = await self._subscriber.subscribe(self._subject)
        self._receiving = tasks.create_task(self._receive(subscription))
        self._publishing = tasks.create_task(self._publish())

    async def _receive(self, subscription):
        async for message in subscription:
            self.arrivals.add(message.data)

    async def _publish(self):
        for number in itertools.count():
            if self._stopping:
                return
            try:
                await self._publisher.publish(self._subject, number, confirm=False)
                self._sent = number + 1
            except ArtcafeError:
                pass
            await asyncio.sleep(RATE_S)

    async def stop(self):
        self._stopping = True
        await self._publishing
        gap = self.arrivals.longest_gap_s
        await asyncio.sleep(SETTLED_AFTER_S)
        self._receiving.cancel()
        found = compare(range(self._sent), self.arrivals.numbers)
        return {"acknowledged": 0, "longest_gap_s": gap, **found}
