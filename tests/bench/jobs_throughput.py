"""What a worker does in the rows of throughput and latency."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

from bench.broker import Progress, Publisher, tell
from bench.payload import MARK, fields, message
from bench.percentiles import percentile
from bench.sockets import Sample, connected

SETTLE_S = 0.15
CLOSE_AT_ONCE = 200
_pools = {}


class Pool:
    """Sockets that are used together."""

    def __init__(self, peers):
        self.peers = peers
        self.sample = Sample()
        self.done = asyncio.Event()
        self.finished_at = 0
        self.telling = None
        self.waits = []

    def arm(self, goal, *, timed, brief):
        """Count from nothing; `done` is set when everybody has `goal` messages.

        `timed` looks into each message, `brief` into none but the first socket's.
        """
        self.sample, self.waits, self.done = Sample(), [], asyncio.Event()
        missing = len(self.peers)

        def reached():
            nonlocal missing
            missing -= 1
            if not missing:
                self.finished_at = time.monotonic_ns()
                self.done.set()

        def heard(data):
            now = time.monotonic_ns()
            self.waits.extend(now - at for _, at in fields(data))

        for peer in self.peers:
            peer.received, peer.goal, peer.reached = 0, goal, reached
            peer.heard = heard if timed else None
        if not timed:
            self.peers[0].heard = self.sample.numbers
            if brief:
                for peer in self.peers[1:]:
                    peer.only_count()


async def open_pool(*, pool, kind, url, tenant_id, agents, count, concurrency=64, subject=None, own=False):
    """Open `count` sockets, with a subject of its own for each if `own`; how long it took."""
    gate = asyncio.Semaphore(concurrency)

    async def one(i):
        name = f"{subject}{i}" if own else subject
        async with gate:
            return await connected(kind, url, tenant_id, agents[i % len(agents)], name)

    began = time.monotonic()
    peers = await asyncio.gather(*(one(i) for i in range(count)), return_exceptions=True)
    took = time.monotonic() - began
    good = [peer for peer in peers if not isinstance(peer, BaseException)]
    failed = [repr(peer) for peer in peers if isinstance(peer, BaseException)]
    _pools[pool] = Pool(good)
    return {"seconds": took, "open": len(good), "failed": len(failed), "why": failed[:1]}


async def close_pool(pool):
    """Close all of them."""
    peers = _pools.pop(pool).peers
    for start in range(0, len(peers), CLOSE_AT_ONCE):
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.gather(*(peer.close() for peer in peers[start : start + CLOSE_AT_ONCE]))


async def arm(pool, goal, *, progress=None, timed=False, brief=False):
    """Begin to count, and to report to the publisher."""
    target = _pools[pool]
    target.arm(goal, timed=timed, brief=brief)
    if progress is not None:
        target.telling = asyncio.create_task(tell(progress, target.peers))
        await asyncio.sleep(0)


async def wait(pool, timeout):
    """When everybody had everything; None when that did not come about."""
    target = _pools[pool]
    with suppress(TimeoutError):
        await asyncio.wait_for(target.done.wait(), timeout)
        return target.finished_at
    return None


async def stay(pool, seconds, every_s=20):
    """Keep the sockets of a pool alive with heartbeats for some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for peer in _pools[pool].peers:
            if peer.code is None:
                peer.say(type="heartbeat")
        await asyncio.sleep(min(every_s, max(0, until - time.monotonic())))


async def check(pool, goal):
    """Whether everybody got everything once, and how long it took."""
    target = _pools[pool]
    await asyncio.sleep(SETTLE_S)  # what is doubled comes late
    if target.telling is not None:
        target.telling.cancel()
        target.telling = None
    counts = [peer.received for peer in target.peers]
    return {
        "received": sum(counts),
        "exact": all(count == goal for count in counts) and (target.sample.exact(goal) or bool(target.waits)),
        "p50": percentile(target.waits, 0.5) / 1e6,
        "p99": percentile(target.waits, 0.99) / 1e6,
        "closed": sorted({peer.code for peer in target.peers if peer.code}),
    }


async def publish(port, seed, subject, count, window, path):
    """Publish straight to the broker, in step with the subscribers; when it began."""
    progress = Progress()
    await progress.listen(path)
    publisher = await Publisher.connect("127.0.0.1", port, seed)
    _pools["publish"] = (publisher, progress, subject, count, window)


async def go():
    """Publish what `publish` prepared."""
    publisher, progress, subject, count, window = _pools.pop("publish")
    try:
        return await publisher.windowed(subject, count, window, progress)
    finally:
        await publisher.close()
        progress.stop()


async def paced(port, seed, subject, rate, seconds):
    """Publish at a steady rate."""
    publisher = await Publisher.connect("127.0.0.1", port, seed)
    try:
        return await publisher.paced(subject, rate, seconds)
    finally:
        await publisher.close()


async def pairs(senders, receivers, tenant_id, subject, window, seconds):
    """Each sender keeps `window` messages on the way to its receiver for some seconds."""
    sources, sinks = _pools[senders].peers, _pools[receivers].peers
    sent = [0] * len(sources)
    until = time.monotonic() + seconds

    def send(i, many):
        if time.monotonic() < until:
            messages = [message(sent[i] + k) for k in range(many)]
            sources[i].publish(tenant_id, f"{subject}{i}", messages)
            sent[i] += many

    def answering(i):
        waiting = 0

        def heard(data):
            nonlocal waiting
            waiting += data.count(MARK)
            if waiting >= window // 4:
                send(i, waiting)
                waiting = 0

        return heard

    for i, sink in enumerate(sinks):
        sink.received, sink.goal = 0, 0
        sink.heard = answering(i)
    began = time.monotonic()
    for i in range(len(sources)):
        send(i, window)
    await asyncio.sleep(until - time.monotonic())
    received, took = sum(sink.received for sink in sinks), time.monotonic() - began
    for _ in range(100):
        await asyncio.sleep(0.05)
        if all(sink.received >= count for sink, count in zip(sinks, sent, strict=True)):
            break
    exact = [sink.received for sink in sinks] == sent
    return {"rate": received / took, "exact": exact, "sent": sum(sent)}


async def flood(pool, sink, tenant_id, subject, seconds):
    """Publish over every socket as fast as it takes it; what came through, and what was closed."""
    until = time.monotonic() + seconds
    peers, sinks = _pools[pool].peers, _pools[sink].peers

    async def one(peer):
        sent, batch = 0, [message(i) for i in range(20)]
        while time.monotonic() < until and peer.code is None:
            peer.publish(tenant_id, subject, batch)
            sent += len(batch)
            await peer.writable.wait()
            await asyncio.sleep(0)
        return sent

    sent = sum(await asyncio.gather(*(one(peer) for peer in peers)))
    closed = sorted({peer.code for peer in (*peers, *sinks) if peer.code})
    return {
        "rate": sum(each.received for each in sinks) / seconds,
        "sent": sent / seconds,
        "closed": closed,
        "refused": Counter(answer["code"] for peer in peers for answer in peer.waiting() if "code" in answer),
    }


async def probe(senders, tenant_id, subject, rate, seconds):
    """Publish over one WebSocket at a steady rate."""
    peer = _pools[senders].peers[0]
    began = time.monotonic()
    count = int(rate * seconds)
    for i in range(count):
        await asyncio.sleep(began + i / rate - time.monotonic())
        peer.publish(tenant_id, subject, [message(i)])
    return count


COMMANDS = {
    "open": open_pool,
    "close": close_pool,
    "arm": arm,
    "wait": wait,
    "check": check,
    "stay": stay,
    "publish": publish,
    "go": go,
    "paced": paced,
    "pairs": pairs,
    "flood": flood,
    "probe": probe,
}
