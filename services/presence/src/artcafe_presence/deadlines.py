"""Expiry of overdue connections, and recovery of a lost live state."""

from collections.abc import Callable

import structlog
from nats.aio.client import Client as Nats

from artcafe_presence.store import Store

log = structlog.get_logger()


class DeadlineChecker:
    """Closes overdue connections while NATS, which carries the heartbeats, is connected."""

    def __init__(self, store: Store, nc: Nats, *, on_state_restored: Callable[[], None]) -> None:
        self._store = store
        self._nc = nc
        self._on_state_restored = on_state_restored

    async def check(self) -> None:
        """Close overdue connections; restore the live state if Redis has lost it."""
        if not self._nc.is_connected:
            return
        result = await self._store.expire_overdue()
        if result.state_lost:
            count = await self._store.restore_from_table()
            self._on_state_restored()
            log.info("live_state_restored", connections=count)
        while result.more_due:
            result = await self._store.expire_overdue()
