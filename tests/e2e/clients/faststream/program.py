"""A program with FastStream, unchanged. It prints one JSON object of results."""

import asyncio
import json
import sys

from faststream.nats import JStream, NatsBroker

options = json.loads(sys.argv[1])


async def main() -> None:
    received, stored, results = asyncio.Queue(), asyncio.Queue(), {}
    broker = NatsBroker(options["url"], nkeys_seed_str=options["reader"])

    @broker.subscriber("jobs")
    async def on_job(job: dict) -> dict:
        await received.put(job)
        return {"done": job["number"]}

    await broker.start()
    await broker.publish({"number": 1}, "jobs")
    results["received"] = await asyncio.wait_for(received.get(), 5)
    reply = await broker.request({"number": 2}, "jobs", timeout=5)
    results["reply"] = await reply.decode()
    await broker.stop()

    broker = NatsBroker(options["url"], nkeys_seed_str=options["manager"])
    stream = JStream("TASKS", subjects=["tasks.*"])

    @broker.subscriber("tasks.*", stream=stream, durable="worker", pull_sub=True)
    async def on_task(task: dict) -> None:
        await stored.put(task)

    await broker.start()
    await broker.publish({"number": 3}, "tasks.a", stream="TASKS")
    results["stored"] = await asyncio.wait_for(stored.get(), 10)
    await broker.stop()
    print(json.dumps(results))


asyncio.run(main())
