"""The clock of the service: deadlines that pass, and a live state that was lost."""

from collections.abc import Callable

import structlog
from nats.aio.client import Client as Nats

from artcafe_presence.store import Store

log = structlog.get_logger()


class Deadlines:
    """Looks at the deadlines, as long as it could have heard what would put them off."""

    def __init__(self, store: Store, nc: Nats, *, on_lost: Callable[[], None]) -> None:
        self._store = store
        self._nc = nc
        self._on_lost = on_lost

    async def check(self) -> None:
        """End what is overdue; make the live state anew when Redis has lost it."""
        if not self._nc.is_connected:
            return
        tick = await self._store.tick()
        if tick.lost:
            count = await self._store.restore()
            self._on_lost()
            log.info("live_state_restored", connections=count)
        while tick.more:
            tick = await self._store.tick()
