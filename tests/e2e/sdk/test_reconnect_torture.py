"""The SDKs while the broker and the gateway are killed, the network is cut and stalls, and the programs sleep.

What was acknowledged on a channel is received once, by readers over each transport that are cut as well. Where there is
no Node.js, the TypeScript SDK is left out. `ARTCAFE_TEST_SDK_ROUNDS` chooses how often, `ARTCAFE_TEST_SDK_SLEEP_S` how long
the programs sleep.
"""

import asyncio
import contextlib
import os
import random
import signal
import time

import pytest

import artcafe_client
from artcafe_client import Offline
from artcafe_client.error_codes import PublishUncertain
from artcafe_client.errors import ArtcafeError
from support.actors import User
from support.cut_proxy import CutProxy
from support.interop import NodePeer
from support.node_sdk import missing_node, running_peer
from support.waiting import eventually

ROUNDS = int(os.environ.get("ARTCAFE_TEST_SDK_ROUNDS", "2"))
LOOP_SLEEP_S = float(os.environ.get("ARTCAFE_TEST_SDK_SLEEP_S", "1.5"))
STALL_S = 1.0
PROGRESS = 5


class PythonPair:
    """A publisher of numbers and a reader over one transport of the Python SDK."""

    def __init__(self, transport, url, tenant_id):
        self.name = f"python-{transport}"
        self._transport = transport
        self._url = url
        self._tenant_id = tenant_id
        self._acknowledged = []
        self._received = []
        self._running = []
        self._clients = []

    async def _connect(self, record):
        client = artcafe_client.connect(
            self._url,
            seed=record.seed,
            client_id=record.id,
            tenant_id=self._tenant_id,
            transport=self._transport,
            offline=Offline(messages=100),
            ack_timeout=3.0,
            first_backoff=0.2,
            max_backoff=2.0,
        )
        self._clients.append(client)
        return await client.open()

    async def start(self, records, channel_id):
        channel = (await self._connect(records[0])).channel(channel_id)
        subscription = await (await self._connect(records[1])).channel(channel_id).subscribe(resume_from=0)
        self._running = [
            asyncio.create_task(self._publish(channel)),
            asyncio.create_task(self._read(subscription)),
        ]

    async def _publish(self, channel):
        number = 0
        while True:
            # After a long sleep it is not known whether a message was stored, and the SDK does not store it twice.
            with contextlib.suppress(PublishUncertain):
                await channel.publish([self.name, number])
                self._acknowledged.append((self.name, number))
            number += 1
            await asyncio.sleep(0.002)

    async def _read(self, subscription):
        async for message in subscription:
            self._received.append(tuple(message.data))

    async def count(self):
        return len(self._acknowledged)

    async def stop_publishing(self):
        self._running[0].cancel()
        return self._acknowledged

    async def received(self):
        return self._received

    async def close(self):
        for task in self._running:
            task.cancel()
        results = await asyncio.gather(*self._running, return_exceptions=True)
        for client in self._clients:
            await client.close()
        assert [each for each in results if isinstance(each, ArtcafeError)] == []


class NodePair:
    """The same with the TypeScript SDK, in a process of its own."""

    def __init__(self, process, transport, **where):
        self.name = f"typescript-{transport}"
        self._process = process
        self._transport = transport
        self._where = where
        self._received = []

    async def start(self, records, channel_id):
        options = {
            **self._where,
            "offline": {"messages": 100},
            "ackTimeoutMs": 3000,
            "firstBackoffMs": 200,
            "maxBackoffMs": 2000,
        }
        self._reader, self._writer = [
            await NodePeer.open(record, self._process, self._transport, name=name, **options)
            for record, name in zip(records, (f"reader {self.name}", self.name), strict=True)
        ]
        await self._reader.call("collect", name=self._reader.kind, channel=channel_id)
        await self._writer.call("publishNumbers", name=self.name, channel=channel_id)

    async def count(self):
        return await self._writer.call("count", name=self.name)

    async def stop_publishing(self):
        return [tuple(each) for each in await self._writer.call("stopNumbers", name=self.name)]

    async def received(self):
        more = await self._reader.call("collected", name=self._reader.kind, **{"from": len(self._received)})
        self._received += [tuple(each) for each in more]
        return self._received

    async def close(self):
        await self._writer.call("close")


@contextlib.asynccontextmanager
async def running_pairs(request, tmp_path, proxies, tenant_id):
    """One pair for each SDK and transport, and the process of the TypeScript SDK, if there is one."""
    broker, url = f"nats://127.0.0.1:{proxies['nats'].port}", f"ws://127.0.0.1:{proxies['websocket'].port}"
    pairs = [PythonPair("nats", broker, tenant_id), PythonPair("websocket", url, tenant_id)]
    async with contextlib.AsyncExitStack() as resources:
        process = None
        if missing_node() is None:
            sdk = request.getfixturevalue("sdk")
            process = await resources.enter_async_context(running_peer(sdk, tmp_path))
            pairs.append(NodePair(process, "nats", servers=broker, tenantId=tenant_id))
            pairs.append(NodePair(process, "websocket", url=url))
        yield pairs, process


@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost_or_doubled(separate_stack, request, tmp_path):
    stack = separate_stack
    tenant = await (await User.sign_up(stack)).create_organization()
    channel_id = (await tenant.create_channel())["channel_id"]
    # The longest time after each fault until more messages were acknowledged, by SDK.
    back = {}
    async with contextlib.AsyncExitStack() as resources:
        proxies = {
            "nats": await resources.enter_async_context(CutProxy.running(stack.ports.nats)),
            "websocket": await resources.enter_async_context(CutProxy.running(stack.ports.api)),
        }
        pairs, process = await resources.enter_async_context(
            running_pairs(request, tmp_path, proxies, tenant.id)
        )
        for pair in pairs:
            await pair.start([await tenant.create_client() for _ in range(2)], channel_id)
            resources.push_async_callback(pair.close)

        async def progress(fault):
            began = time.monotonic()

            async def proceeds(pair):
                before = await pair.count()

                async def more():
                    return await pair.count() > before + PROGRESS

                await eventually(more, within=60)
                key = (fault, pair.name)
                back[key] = max(back.get(key, 0), time.monotonic() - began)

            await asyncio.gather(*map(proceeds, pairs))

        async def kill(service):
            stack.supervisor.kill(service)

        async def cut():
            for proxy in proxies.values():
                proxy.cut()

        async def stall():
            for proxy in proxies.values():
                proxy.stall()
            await asyncio.sleep(STALL_S)
            await cut()
            for proxy in proxies.values():
                proxy.resume()

        async def sleep():
            if process is not None:
                os.kill(process.pid, signal.SIGSTOP)
            time.sleep(LOOP_SLEEP_S)  # noqa: ASYNC251 - the program itself is stuck
            if process is not None:
                os.kill(process.pid, signal.SIGCONT)

        faults = {
            "kill nats": lambda: kill("nats"),
            "kill gateway": lambda: kill("gateway"),
            "cut": cut,
            "stall": stall,
            "sleep": sleep,
        }
        await progress("start")
        for _ in range(ROUNDS):
            for name in random.sample(sorted(faults), len(faults)):
                await faults[name]()
                await progress(name)
        acknowledged = [each for pair in pairs for each in await pair.stop_publishing()]
        for pair in pairs:

            async def complete(pair=pair):
                return set(acknowledged) <= set(await pair.received())

            with contextlib.suppress(AssertionError):
                await eventually(complete, within=30)
            messages = await pair.received()
            lost = sorted(set(acknowledged) - set(messages))
            assert lost == [], f"{len(lost)} lost by {pair.name}"
            doubled = len(messages) - len(set(messages))
            assert doubled == 0, f"{doubled} doubled by {pair.name}"
            for publisher in pairs:
                mine = [number for who, number in messages if who == publisher.name]
                assert mine == sorted(mine), f"out of order at {pair.name}"
    counts = {pair.name: sum(who == pair.name for who, _ in acknowledged) for pair in pairs}
    print(f"{counts} acknowledged over {ROUNDS} rounds of {len(faults)} faults")
    for (fault, name), seconds in sorted(back.items()):
        print(f"{fault}, {name}: back after at most {seconds:.1f} s")
