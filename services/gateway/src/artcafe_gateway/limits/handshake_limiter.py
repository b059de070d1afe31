"""A storm of connections meets a door: so many authenticate at once, the rest wait in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artcafe_common.bus.errors import CommandError

WAIT_S = 10.0
RETRY_AFTER_S = 2


class ServerBusy(CommandError):
    """More want in than are let in; try again later."""

    status = 503
    code = "server_busy"
    title = "Too many connect at this moment"


class HandshakeLimiter:
    """The door of one gateway process.

    It opens behind the challenge: who does not answer it holds no place.
    """

    def __init__(self, fast_path: int) -> None:
        self._places = asyncio.Semaphore(fast_path)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place; ServerBusy when none came free in time."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise ServerBusy(retry_after_s=RETRY_AFTER_S) from None
        try:
            yield
        finally:
            self._places.release()
