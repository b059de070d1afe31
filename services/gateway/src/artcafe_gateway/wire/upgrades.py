"""Spreads the handshakes of a storm of connections over turns of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class UpgradeQueue:
    """Connections that become WebSockets, in their order: one in each turn, with all other connections in between.

    A handshake occupies the event loop for a third of a millisecond, and so does each later step of its login.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, upgrade: Callable[[], None]) -> None:
        """Call `upgrade` in one of the next turns."""
        self._waiting.append(upgrade)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        try:
            self._waiting[0]()
        except Exception:
            log.exception("websocket_upgrade_failed")
        # Removed last: `add` schedules the first one only.
        self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
