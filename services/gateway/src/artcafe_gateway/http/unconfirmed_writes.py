"""Writes that Redis did not confirm in time. It may not have executed them, or execute them later."""

import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from artcafe_common.bus.errors import StoreUnavailable

# What a minute's outage leaves behind; the oldest are forgotten beyond it.
MAX_WRITES = 1000
# Redis may execute first what it received last, and what was on its way while it hung.
ROUNDS = 3


class _Write(msgspec.Struct, kw_only=True):
    execute: Callable[[], Awaitable[None]]
    expires_at: float
    rounds: int


class UnconfirmedWrites:
    """Repeats writes that may be repeated, in order, for `lifetime_s` each."""

    def __init__(self, *, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        self._writes: deque[_Write] = deque(maxlen=MAX_WRITES)

    def add(self, write: Callable[[], Awaitable[None]], *, repeated: bool = False) -> None:
        """Execute a write in the next round; one that is `repeated`, in the `ROUNDS` next ones that succeed."""
        expires_at = time.monotonic() + self._lifetime_s
        rounds = ROUNDS if repeated else 1
        self._writes.append(_Write(execute=write, expires_at=expires_at, rounds=rounds))

    async def repeat(self) -> None:
        """Execute each write once, until the store fails again; StoreUnavailable."""
        for _ in range(len(self._writes)):
            write = self._writes.popleft()
            if write.expires_at < time.monotonic():
                continue
            try:
                await write.execute()
            except StoreUnavailable:
                if len(self._writes) < MAX_WRITES:
                    self._writes.appendleft(write)
                raise
            write.rounds -= 1
            if write.rounds:
                self._writes.append(write)
