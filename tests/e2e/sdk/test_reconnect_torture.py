"""The SDK while the broker and the gateway are killed, the network is cut and stalls, and the program sleeps.

What was acknowledged on a channel is received once, by readers over both transports that are cut as well.
`ARTCAFE_TEST_SDK_ROUNDS` chooses how often.
"""

import asyncio
import contextlib
import os
import random
import time

import pytest

import artcafe_client
from artcafe_client import Offline
from artcafe_client.errors import ArtcafeError
from support.actors import User
from support.cut_proxy import CutProxy
from support.waiting import eventually

ROUNDS = int(os.environ.get("ARTCAFE_TEST_SDK_ROUNDS", "2"))
LOOP_SLEEP_S = 1.5
STALL_S = 1.0


class Publisher:
    """Publishes numbers, each until it is acknowledged."""

    def __init__(self, client, channel_id, name):
        self.channel = client.channel(channel_id)
        self.name = name
        self.acknowledged = []
        self.next = 0

    async def run(self):
        while True:
            number, self.next = self.next, self.next + 1
            await self.channel.publish([self.name, number])
            self.acknowledged.append((self.name, number))
            await asyncio.sleep(0.002)


@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost_or_doubled(separate_stack):
    stack = separate_stack
    tenant = await (await User.sign_up(stack)).create_organization()
    channel_id = (await tenant.create_channel())["channel_id"]
    async with contextlib.AsyncExitStack() as resources:
        proxies = {
            "nats": await resources.enter_async_context(CutProxy.running(stack.ports.nats)),
            "websocket": await resources.enter_async_context(CutProxy.running(stack.ports.api)),
        }
        schemes = {"nats": "nats", "websocket": "ws"}

        async def connect(transport):
            record = await tenant.create_client()
            client = artcafe_client.connect(
                f"{schemes[transport]}://127.0.0.1:{proxies[transport].port}",
                seed=record.seed,
                client_id=record.id,
                tenant_id=tenant.id,
                transport=transport,
                offline=Offline(messages=100),
                ack_timeout=3.0,
                first_backoff=0.2,
                max_backoff=2.0,
            )
            resources.push_async_callback(client.close)
            return await client.open()

        publishers = [Publisher(await connect(name), channel_id, name) for name in proxies]
        received = {}
        running = [asyncio.create_task(each.run()) for each in publishers]
        for name in proxies:
            subscription = await (await connect(name)).channel(channel_id).subscribe(resume_from=0)
            received[name] = []

            async def read(subscription=subscription, into=received[name]):
                async for message in subscription:
                    into.append(tuple(message.data))

            running.append(asyncio.create_task(read()))

        async def progress():
            before = [len(each.acknowledged) for each in publishers]
            await eventually(
                lambda: all(
                    len(each.acknowledged) > count + 5 for each, count in zip(publishers, before, strict=True)
                ),
                within=60,
            )

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
            time.sleep(LOOP_SLEEP_S)  # noqa: ASYNC251 - the program itself is stuck

        faults = {
            "kill nats": lambda: kill("nats"),
            "kill gateway": lambda: kill("gateway"),
            "cut": cut,
            "stall": stall,
            "sleep": sleep,
        }
        await progress()
        for _ in range(ROUNDS):
            for name in random.sample(sorted(faults), len(faults)):
                await faults[name]()
                await progress()
        for task in running[: len(publishers)]:
            task.cancel()
        await asyncio.gather(*running[: len(publishers)], return_exceptions=True)
        acknowledged = [each for publisher in publishers for each in publisher.acknowledged]
        for name, messages in received.items():
            with contextlib.suppress(AssertionError):
                await eventually(lambda messages=messages: set(acknowledged) <= set(messages), within=30)
            lost = sorted(set(acknowledged) - set(messages))
            assert lost == [], f"{len(lost)} lost over {name}"
            doubled = len(messages) - len(set(messages))
            assert doubled == 0, f"{doubled} doubled over {name}"
            for publisher in publishers:
                mine = [number for who, number in messages if who == publisher.name]
                assert mine == sorted(mine), f"out of order over {name}"
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
        assert [each for each in results if isinstance(each, ArtcafeError)] == []
        print(f"{len(acknowledged)} acknowledged over {ROUNDS} rounds of {len(faults)} faults")
