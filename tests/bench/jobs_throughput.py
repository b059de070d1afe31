"""Worker jobs of the throughput and latency rows."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

from bench.payload import MARK, build_message, parse_messages
from bench.percentiles import percentile
from bench.publisher import Progress, open_publisher, report_progress
from bench.sockets import SequenceCheck, connect

DUPLICATES_WITHIN_S = 0.15
CLOSE_BATCH = 200
_pools = {}
_prepared = {}


class Pool:
    """Sockets that are measured together."""

    def __init__(self, peers):
        self.peers = peers
        self.sequence = SequenceCheck()
        self.done = asyncio.Event()
        self.finished_at = 0
        self.reporting = None
        self.latencies = []

    def arm(self, goal, *, timed, skip_framing):
        """Reset the counters; `done` is set once every socket has `goal` messages.

        With `timed`, the latency of every message is recorded. With `skip_framing`, only the first
        socket parses frames.
        """
        self.sequence, self.latencies, self.done = SequenceCheck(), [], asyncio.Event()
        missing = len(self.peers)

        def on_goal():
            nonlocal missing
            missing -= 1
            if not missing:
                self.finished_at = time.monotonic_ns()
                self.done.set()

        def record_latency(data):
            now = time.monotonic_ns()
            self.latencies.extend(now - sent_at for _, sent_at in parse_messages(data))

        for peer in self.peers:
            peer.received, peer.goal, peer.on_goal = 0, goal, on_goal
            peer.on_data = record_latency if timed else None
        if not timed:
            self.peers[0].on_data = self.sequence.add
            if skip_framing:
                for peer in self.peers[1:]:
                    peer.skip_framing()


async def open_pool(
    *, pool, kind, url, tenant_id, agents, count, concurrency=64, subject=None, numbered_subjects=False
):
    """Open `count` sockets, with `subject` or, if numbered, with `subject` + index."""
    limit = asyncio.Semaphore(concurrency)

    async def open_one(i):
        name = f"{subject}{i}" if numbered_subjects else subject
        async with limit:
            return await connect(kind, url, tenant_id, agents[i % len(agents)], name)

    began = time.monotonic()
    peers = await asyncio.gather(*(open_one(i) for i in range(count)), return_exceptions=True)
    seconds = time.monotonic() - began
    opened = [peer for peer in peers if not isinstance(peer, BaseException)]
    errors = [repr(peer) for peer in peers if isinstance(peer, BaseException)]
    _pools[pool] = Pool(opened)
    return {"seconds": seconds, "open": len(opened), "failed": len(errors), "errors": errors[:1]}


async def close_pool(pool):
    peers = _pools.pop(pool).peers
    for start in range(0, len(peers), CLOSE_BATCH):
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.gather(*(peer.close() for peer in peers[start : start + CLOSE_BATCH]))


async def arm(pool, goal, *, progress=None, often=False, timed=False, skip_framing=False):
    """Reset the counters, and report progress to the publisher if `progress` is a socket path."""
    target = _pools[pool]
    target.arm(goal, timed=timed, skip_framing=skip_framing)
    if progress is not None:
        target.reporting = asyncio.create_task(report_progress(progress, target.peers, often=often))
        await asyncio.sleep(0)


async def wait(pool, timeout):
    """The time at which every socket reached the goal; None on timeout."""
    target = _pools[pool]
    with suppress(TimeoutError):
        await asyncio.wait_for(target.done.wait(), timeout)
        return target.finished_at
    return None


async def send_heartbeats(pool, seconds, interval_s=20):
    """Keep the sockets of a pool alive."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for peer in _pools[pool].peers:
            if peer.code is None:
                peer.send_frame(type="heartbeat")
        await asyncio.sleep(min(interval_s, max(0, until - time.monotonic())))


async def check(pool, goal):
    """Whether every socket received each message once, and the latencies in milliseconds."""
    target = _pools[pool]
    await asyncio.sleep(DUPLICATES_WITHIN_S)
    if target.reporting is not None:
        target.reporting.cancel()
        target.reporting = None
    counts = [peer.received for peer in target.peers]
    in_sequence = target.sequence.is_complete(goal) or bool(target.latencies)
    return {
        "received": sum(counts),
        "exact": all(count == goal for count in counts) and in_sequence,
        "p50": percentile(target.latencies, 0.5) / 1e6,
        "p99": percentile(target.latencies, 0.99) / 1e6,
        "closed": sorted({peer.code for peer in target.peers if peer.code}),
    }


async def prepare_publish(subject, count, window, path, **source):
    """Connect a publisher, and listen for the progress of the subscribers."""
    progress = Progress()
    await progress.listen(path)
    publisher = await open_publisher(**source)
    _prepared["publish"] = (publisher, progress, subject, count, window)


async def publish():
    """Publish what `prepare_publish` prepared; returns the start time."""
    publisher, progress, subject, count, window = _prepared.pop("publish")
    try:
        return await publisher.publish_windowed(subject, count, window, progress)
    finally:
        await publisher.close()
        progress.stop()


async def publish_paced(subject, rate, seconds, **source):
    """Publish at a steady rate."""
    publisher = await open_publisher(**source)
    try:
        return await publisher.publish_paced(subject, rate, seconds)
    finally:
        await publisher.close()


async def publish_until_stopped(subject, rate, **source):
    """Publish at a steady rate until `stop_publishing`; returns the number of messages."""
    publisher, stopped = await open_publisher(**source), asyncio.Event()
    _prepared["stop"] = stopped
    began, count = time.monotonic(), 0
    try:
        while not stopped.is_set():
            await publisher.publish(subject, [build_message(count)])
            count += 1
            await asyncio.sleep(began + count / rate - time.monotonic())
        await publisher.flush()
    finally:
        await publisher.close()
    return count


async def stop_publishing():
    """Stop `publish_until_stopped`."""
    _prepared.pop("stop").set()


async def publish_in_pairs(senders, receivers, tenant_id, subject, window, seconds):
    """Each sender has up to `window` messages in flight to its receiver."""
    sources, sinks = _pools[senders].peers, _pools[receivers].peers
    sent = [0] * len(sources)
    until = time.monotonic() + seconds

    def send(i, count):
        if time.monotonic() < until:
            messages = [build_message(sent[i] + k) for k in range(count)]
            sources[i].publish(tenant_id, f"{subject}{i}", messages)
            sent[i] += count

    def build_on_data(i):
        pending = 0

        def on_data(data):
            nonlocal pending
            pending += data.count(MARK)
            if pending >= max(1, window // 4):
                send(i, pending)
                pending = 0

        return on_data

    for i, sink in enumerate(sinks):
        sink.received, sink.goal = 0, 0
        sink.on_data = build_on_data(i)
    began = time.monotonic()
    for i in range(len(sources)):
        send(i, window)
    await asyncio.sleep(until - time.monotonic())
    received, elapsed = sum(sink.received for sink in sinks), time.monotonic() - began
    for _ in range(100):
        await asyncio.sleep(0.05)
        if all(sink.received >= count for sink, count in zip(sinks, sent, strict=True)):
            break
    exact = [sink.received for sink in sinks] == sent
    return {"rate": received / elapsed, "exact": exact, "sent": sum(sent), "received": received}


async def flood(pool, sink, tenant_id, subject, seconds):
    """Publish over every socket as fast as it accepts data."""
    until = time.monotonic() + seconds
    peers, sinks = _pools[pool].peers, _pools[sink].peers

    async def flood_one(peer):
        sent, batch = 0, [build_message(i) for i in range(20)]
        while time.monotonic() < until and peer.code is None:
            peer.publish(tenant_id, subject, batch)
            sent += len(batch)
            await peer.writable.wait()
            await asyncio.sleep(0)
        return sent

    sent = sum(await asyncio.gather(*(flood_one(peer) for peer in peers)))
    closed = sorted({peer.code for peer in (*peers, *sinks) if peer.code})
    return {
        "rate": sum(each.received for each in sinks) / seconds,
        "sent": sent / seconds,
        "closed": closed,
        "refused": Counter(
            reply["code"] for peer in peers for reply in peer.unread_replies() if "code" in reply
        ),
    }


async def publish_over_websocket(pool, tenant_id, subject, rate, seconds):
    """Publish over the first socket of a pool at a steady rate."""
    peer = _pools[pool].peers[0]
    began = time.monotonic()
    count = int(rate * seconds)
    for i in range(count):
        await asyncio.sleep(began + i / rate - time.monotonic())
        peer.publish(tenant_id, subject, [build_message(i)])
    return count


JOBS = {
    "open_pool": open_pool,
    "close_pool": close_pool,
    "arm": arm,
    "wait": wait,
    "check": check,
    "send_heartbeats": send_heartbeats,
    "prepare_publish": prepare_publish,
    "publish": publish,
    "publish_paced": publish_paced,
    "publish_until_stopped": publish_until_stopped,
    "stop_publishing": stop_publishing,
    "publish_in_pairs": publish_in_pairs,
    "flood": flood,
    "publish_over_websocket": publish_over_websocket,
}
