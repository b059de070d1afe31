"""Worker jobs of the SDK's row: the same messages through the SDK and through bare nats-py."""

import asyncio
import time

import msgspec
import nats

import artcafe_client

WINDOW = 500
PAYLOAD = {"n": 0, "p": "x" * 230}
TIMEOUT_S = 60


async def send_with_nats_py(url, tenant_id, agents, count):
    """Messages a second from one connection to another, with nats-py alone."""
    sender, receiver = [await nats.connect(url, nkeys_seed_str=each["seed"]) for each in agents[:2]]
    numbers, done = [], asyncio.Event()

    async def receive(message):
        numbers.append(msgspec.json.decode(message.data)["n"])
        if len(numbers) == count:
            done.set()

    subject = f"{tenant_id}.sdk.bare"
    await receiver.subscribe(subject, cb=receive)
    await receiver.flush()
    began = time.monotonic()
    for number in range(count):
        await sender.publish(subject, msgspec.json.encode({**PAYLOAD, "n": number}))
        if number % WINDOW == WINDOW - 1:
            await sender.flush()
    await asyncio.wait_for(done.wait(), TIMEOUT_S)
    seconds = time.monotonic() - began
    await asyncio.gather(sender.close(), receiver.close())
    return {"value": count / seconds, "exact": numbers == list(range(count))}


async def send_with_sdk(url, tenant_id, agents, count):
    """Messages a second from one client of the SDK to another, over the transport of the URL."""
    options = {"tenant_id": tenant_id} if url.startswith("nats") else {}
    clients = [
        artcafe_client.connect(url, seed=each["seed"], client_id=each["id"], **options) for each in agents[:2]
    ]
    sender, receiver = [await client.open() for client in clients]
    subscription = await receiver.subscribe("sdk.ours", max_pending=count)

    async def receive():
        return [(await anext(subscription)).data["n"] for _ in range(count)]

    receiving = asyncio.ensure_future(receive())
    began = time.monotonic()
    for number in range(count):
        await sender.publish("sdk.ours", {**PAYLOAD, "n": number}, confirm=False)
        if number % WINDOW == WINDOW - 1:
            await sender.flush()
    numbers = await asyncio.wait_for(receiving, TIMEOUT_S)
    seconds = time.monotonic() - began
    await asyncio.gather(sender.close(), receiver.close())
    return {"value": count / seconds, "exact": numbers == list(range(count))}


JOBS = {"send_with_nats_py": send_with_nats_py, "send_with_sdk": send_with_sdk}
