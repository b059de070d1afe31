"""An in-process cache with single-flight loading, for reads on hot paths."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Versions(Generic[K]):
    """A number for each key, which changes whenever what the key stands for may have changed.

    As a part of a cache's key it keeps the result of a load that began before the change from being found. At most
    `size` keys that have changed are told apart; beyond that, all count as changed.
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._versions: dict[K, int] = {}
        self._first = self._last = 0

    def get(self, key: K) -> int:
        """The current number of a key."""
        return self._versions.get(key, self._first)

    def change(self, key: K) -> None:
        """Give a key a number that no key had before."""
        if len(self._versions) >= self._size:
            self.clear()
        self._last += 1
        self._versions[key] = self._last

    def clear(self) -> None:
        """Give every key another number."""
        self._versions.clear()
        self._last += 1
        self._first = self._last


class Cache(Generic[K, V]):
    """At most `size` values, each at most `age_s` seconds old.

    Concurrent reads of one key share one load. The result of a load that began before the key was invalidated
    is not cached, and neither is a failure.
    """

    def __init__(self, *, size: int, age_s: float) -> None:
        self._values: TTLCache[K, V] = TTLCache(maxsize=size, ttl=age_s)
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """The cached value of `key`; calls `load` if there is none."""
        # One look: a value can expire between two.
        with suppress(KeyError):
            return self._values[key]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.ensure_future(self._load(key, load))
            self._loading[key] = task
        return await asyncio.shield(task)

    def cached(self, key: K) -> V | None:
        """The value of `key`, if it is cached."""
        return self._values.get(key)

    async def _load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        this_load = asyncio.current_task()
        try:
            value = await load()
            if self._loading.get(key) is this_load:
                self._values[key] = value
            return value
        finally:
            if self._loading.get(key) is this_load:
                del self._loading[key]

    def invalidate(self, key: K) -> None:
        """Remove a key; the result of a running load is not cached."""
        self._values.pop(key, None)
        self._loading.pop(key, None)

    def clear(self) -> None:
        """Invalidate every key."""
        self._values.clear()
        self._loading.clear()
