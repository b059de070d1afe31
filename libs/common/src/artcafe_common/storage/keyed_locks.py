"""Locks by key, which exist only while somebody has or waits for them."""

import asyncio


class KeyedLocks:
    """One lock for each key; waiting tasks acquire it in their order."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    async def acquire(self, key: str) -> bool:
        """Acquire the lock of a key; True if another task had it."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = lock, users + 1
        try:
            await lock.acquire()
        except BaseException:
            self._forget(key)
            raise
        return users > 0

    def release(self, key: str) -> None:
        """Release the lock of a key."""
        self._locks[key][0].release()
        self._forget(key)

    def _forget(self, key: str) -> None:
        lock, users = self._locks.pop(key)
        if users > 1:
            self._locks[key] = lock, users - 1
