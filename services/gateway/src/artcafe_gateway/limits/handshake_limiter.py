"""Limits concurrent handshakes, so that a reconnect storm does not overload identity."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artcafe_common.bus.errors import CommandError

WAIT_S = 10.0
RETRY_AFTER_S = 2


class ServerBusy(CommandError):
    """Too many clients authenticate at the same time."""

    status = 503
    code = "server_busy"
    title = "Too many clients are connecting"
    remedy = "Connect again after `retry_after_ms`, with exponential back-off and jitter."


class HandshakeLimiter:
    """Limits the handshakes of one gateway process; further handshakes wait in order.

    A slot is acquired after the client has answered the challenge: idle connections occupy none.
    """

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)
        self.running_count = self.waiting_count = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Acquire a slot for the context; ServerBusy when none is free within `WAIT_S`."""
        self.waiting_count += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise ServerBusy(retry_after_s=RETRY_AFTER_S) from None
        finally:
            self.waiting_count -= 1
        self.running_count += 1
        try:
            yield
        finally:
            self.running_count -= 1
            self._slots.release()
