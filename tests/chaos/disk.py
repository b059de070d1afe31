"""How fast a single nats-server stores messages that it writes to the disk at each one, or every two minutes."""

import asyncio
import tempfile
import time
from pathlib import Path

from nats.aio.client import Client as Nats

from support.nats_server import running_nats_server

DEFAULT, ALWAYS = "2m", "always"
FOR_S = 4.0
PUBLISHERS = 32
PAYLOAD = bytes(256)


async def measure(sync_interval):
    """Acknowledged messages of 256 bytes per second, of 32 publishers that each wait for the acknowledgement."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "nats.conf"
        config.write_text(f'jetstream {{ store_dir: "{directory}/store", sync_interval: "{sync_interval}" }}')
        async with running_nats_server("-c", str(config)) as server:
            nc = Nats()
            await nc.connect(server.url)
            jetstream = nc.jetstream()
            await jetstream.add_stream(name="S", subjects=["s"])
            ends_at = time.monotonic() + FOR_S

            async def publish():
                stored = 0
                while time.monotonic() < ends_at:
                    await jetstream.publish("s", PAYLOAD)
                    stored += 1
                return stored

            counts = await asyncio.gather(*(publish() for _ in range(PUBLISHERS)))
            await nc.close()
    return sum(counts) / FOR_S


async def describe():
    """One sentence for the document."""
    default, always = await measure(DEFAULT), await measure(ALWAYS)
    return (
        f"A single nats-server stored {default:,.0f} messages a second with `sync_interval: {DEFAULT}`, "
        f"and {always:,.0f} with `sync_interval: {ALWAYS}` ({PUBLISHERS} publishers that wait for the acknowledgement, "
        f"{len(PAYLOAD)} bytes each)."
    )
