"""The latency of one organization's JetStream calls while another floods the API."""

import asyncio
import json
import time

import nats

from bench.percentiles import percentile
from bench.result import Result

MANAGE = {"publish": [">"], "subscribe": [">"], "streams": "manage"}
FLOODING_CONNECTIONS = 3
# The most that a call lists.
SUBJECTS = 10_000
SECONDS = 6


def _stream(number):
    return json.dumps(
        {
            "name": f"X{number}",
            "subjects": [f"x{number}.>"],
            "storage": "file",
            "retention": "limits",
            "discard": "old",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "num_replicas": 1,
        }
    ).encode()


def _consumer(number):
    config = {"name": f"c{number}", "ack_policy": "none", "inactive_threshold": 5 * 10**9}
    return json.dumps({"stream_name": "FLOOD", "config": config}).encode()


# The number of calls in SECONDS, and the subject and body of each.
FLOODS = {
    "INFO": (17_000, lambda _: ("$JS.API.INFO", b"")),
    "CONSUMER.CREATE": (6_000, lambda n: (f"$JS.API.CONSUMER.CREATE.FLOOD.c{n}", _consumer(n))),
    "STREAM.CREATE": (1_500, lambda n: (f"$JS.API.STREAM.CREATE.X{n}", _stream(n))),
    "STREAM.INFO of 10,000 subjects": (
        150,
        lambda _: ("$JS.API.STREAM.INFO.FLOOD", b'{"subjects_filter":">"}'),
    ),
}


async def connect(environment, tenant):
    """A direct connection of a new client that may manage streams."""
    body = {"name": environment.unique_name("manager"), "permissions": MANAGE}
    response = await environment.http.post("/clients", json=body, headers=tenant.headers)
    seed = response.raise_for_status().json()["nkey_seed"]

    async def ignore(_error):
        return None

    return await nats.connect(
        environment.nats_url, nkeys_seed_str=seed, error_cb=ignore, reconnect_time_wait=0.1
    )


async def measure(nc, seconds):
    """Milliseconds of each call; one that is not answered in 10 s counts as 10 s."""
    latencies, ends = [], time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        try:
            await nc.request("$JS.API.STREAM.INFO.QUIET", b"", timeout=10)
        except nats.errors.Error:
            latencies.append(10_000.0)
        else:
            latencies.append((time.monotonic() - began) * 1000)
        # Below the rate that a client may call at, beyond which its calls wait.
        await asyncio.sleep(0.03)
    return latencies


def render(count, call, connections):
    """The bytes of the calls, for each connection in chunks of a hundredth of them.

    They are made before, and written without the library, so that the flood does not delay what measures it.
    """
    calls = [call(number) for number in range(count)]
    lines = [b"PUB %b _INBOX.flood %d\r\n%b\r\n" % (name.encode(), len(body), body) for name, body in calls]
    size = max(len(lines) // 100 // connections, 1)
    shares = [lines[offset::connections] for offset in range(connections)]
    return [[b"".join(each[at : at + size]) for at in range(0, len(each), size)] for each in shares]


async def flood(connections, chunks, *, paced):
    """Send the calls over all connections, evenly over SECONDS or as fast as possible."""

    async def send(nc, share):
        began = time.monotonic()
        for sent, chunk in enumerate(share):
            if not nc.is_connected:
                return
            nc._transport.write(chunk)
            await nc._transport.drain()
            ahead = began + SECONDS * sent / len(share) - time.monotonic() if paced else 0
            await asyncio.sleep(max(ahead, 0))

    await asyncio.gather(*(send(nc, share) for nc, share in zip(connections, chunks, strict=True)))


async def run(environment):
    quiet_tenant = await environment.create_organization("Quiet calls", 0)
    flooding_tenant = await environment.create_organization("Flooding calls", 0)
    quiet = await connect(environment, quiet_tenant)
    await quiet.jetstream().add_stream(name="QUIET", subjects=["quiet.>"])
    connections = [await connect(environment, flooding_tenant) for _ in range(FLOODING_CONNECTIONS)]
    await connections[0].jetstream().add_stream(name="FLOOD", subjects=["f.>"])
    for number in range(SUBJECTS):
        await connections[0].publish(f"f.{number}", b"x")
    await connections[0].flush()
    await environment.wait_until_idle()
    idle = await measure(quiet, 3)
    for name, (count, call) in FLOODS.items():
        chunks = render(count, call, len(connections))
        for paced in (True, False):
            before = sum(nc.stats["reconnects"] for nc in connections)
            measuring = asyncio.create_task(measure(quiet, SECONDS + 1))
            await asyncio.sleep(0.3)
            await flood(connections, chunks, paced=paced)
            latencies = await measuring
            ended = sum(nc.stats["reconnects"] for nc in connections) - before
            yield Result(
                row="api_flood",
                what=f"worst call beside {name} x {count:,} " + ("in 6 s" if paced else "at once"),
                unit="ms",
                ours=max(latencies),
                reference=max(idle),
                of="idle",
                note=f"p50 {percentile(latencies, 0.5):.1f} ms (idle {percentile(idle, 0.5):.1f}), "
                f"flooding connections ended {ended} times",
                better="less",
                runs=[idle, latencies],
            )
            await asyncio.sleep(2)
    for nc in (quiet, *connections):
        await nc.close()
