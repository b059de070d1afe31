"""nats-py with a `flush` that can be relied on."""

import nats


class OrderedFlushNats(nats.NATS):
    """A nats-py client whose `flush` returns once the broker has processed everything sent before.

    nats-py 2.16 writes the PING of a flush ahead of the commands that still wait in its buffer, so that its flush can
    return before the broker knows a subscription, or has rejected a message.
    """

    async def flush(self, timeout=10):
        await self._flush_pending(force_flush=True)
        await super().flush(timeout)
