"""What makes presence compare its connections with the broker's."""

import asyncio


class ComparisonRequests:
    """Requests of all parts; the comparison that runs next serves those made before."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        # How often clients had to reconnect: a list of the broker from before then lacks them.
        self.disturbances = 0

    def request(self) -> None:
        """Something was missed, or is unknown: a comparison finds it."""
        self._event.set()

    def disturb(self) -> None:
        """Clients are reconnecting: compare, and close nothing because of a list from before."""
        self.disturbances += 1
        self._event.set()

    async def take(self, timeout_s: float) -> bool:
        """Wait for a request, and mark all as served; False if there is none within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
