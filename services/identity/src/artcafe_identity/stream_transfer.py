"""Copies a JetStream stream from one account to another, with its sequence numbers and times."""

from typing import Any

import msgspec
from nats.aio.client import Client as Nats

from artcafe_common.broker.stream_snapshots import open_snapshot, restore_snapshot


async def copy_stream(source: Nats, target: Nats, stream: str, config: dict[str, Any]) -> bool:
    """Create a stream of `config` at `target`, with the messages that it has at `source`; False where it has none.

    Raises APIError when the broker refuses, and nats.errors.Error or TimeoutError when it does not answer.
    """
    async with open_snapshot(source, stream, consumers=False) as snapshot:
        if snapshot is None:
            return False
        await restore_snapshot(target, stream, msgspec.structs.replace(snapshot, config=config))
    return True
