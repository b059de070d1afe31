"""Clients that write hostile inputs to the broker: a process of the broker's fuzz."""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from types import SimpleNamespace

from support.actors import Client
from support.calm_tenants import MARKER
from support.hostile_nats import HostileInputs
from support.json_process import serve
from support.priority import LOWEST, lower_priority
from support.raw_nats import RawNats

# Half-open connections that each attacker leaves behind.
MAX_HALF_OPEN = 50


class Attacker:
    """Writes hostile inputs over connections of one client, and keeps what it receives.

    At most `rate` inputs a second; as fast as it can with 0.
    """

    def __init__(self, client, inputs, counts, *, authenticated=True, rate=0.0):
        self._client, self._inputs, self._counts = client, inputs, counts
        self._authenticated, self._rate = authenticated, rate
        self._raw = self._reader = None
        self._half_open = []
        self.leaks = 0

    async def run(self, count, deadline):
        began = time.monotonic()
        for number in range(count):
            if time.monotonic() > deadline:
                break
            if self._rate and (early := began + number / self._rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if self._raw is None or self._reader.done():
                await self._reconnect()
            kind, data = self._inputs.draw()
            self._counts[kind] += 1
            self._raw.write(data)
            if kind == "half":
                self._half_open.append(self._raw)
                self._raw = None
                if len(self._half_open) > MAX_HALF_OPEN:
                    await self._half_open.pop(0).close()
            elif kind in ("line", "flood"):
                await asyncio.sleep(0.005)
            else:
                # The server reads as fast as this client writes; and it is not all that this machine does.
                with suppress(ConnectionError):
                    await self._raw.writer.drain()
                await asyncio.sleep(0)
        await self.close()

    async def _reconnect(self):
        if self._raw is not None:
            await self._raw.close()
            self._raw = None
        while self._raw is None:
            self._counts["connections"] += 1
            try:
                if self._authenticated:
                    self._raw = await RawNats.connect(self._client)
                else:
                    self._raw = await RawNats.open("127.0.0.1", self._client.tenant.stack.ports.nats)
            except (ConnectionError, TimeoutError):
                self._counts["refused"] += 1
                await asyncio.sleep(0.1)
        self._reader = asyncio.create_task(self._read(self._raw))

    async def _read(self, raw):
        tail = b""
        with suppress(ConnectionError):
            while data := await raw.reader.read(65536):
                self.leaks += (tail + data).count(MARKER)
                self._counts["bytes received"] += len(data)
                tail = data[-len(MARKER) + 1 :]

    async def close(self):
        for raw in [*self._half_open, *([self._raw] if self._raw else [])]:
            await raw.close()


async def attack(request):
    """Run the attack; returns what was written, the bytes of others that were received, and how long it took."""
    tenant = SimpleNamespace(stack=SimpleNamespace(ports=SimpleNamespace(nats=request["port"])))
    counts, attackers, runs = Counter(), [], []
    began = time.monotonic()
    for number, each in enumerate(request["clients"]):
        inputs = HostileInputs(random.Random(f"{request['seed']} {number}"), each["names"])
        attacker = Attacker(
            Client(tenant, each["created"]),
            inputs,
            counts,
            authenticated=each["authenticated"],
            rate=each["rate"],
        )
        attackers.append(attacker)
        runs.append(attacker.run(each["inputs"], began + request["max_s"]))
    await asyncio.gather(*runs)
    return {
        "counts": counts,
        "leaks": sum(each.leaks for each in attackers),
        "took_s": time.monotonic() - began,
    }


if __name__ == "__main__":
    # Attackers have machines of their own: they leave the processors of this one to the broker and the services.
    lower_priority(LOWEST)
    asyncio.run(serve(attack))
