"""Reads that a hot path needs, kept in process: bounded in size and age, never stale after news."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """At most `size` values, each at most `age_s` seconds old.

    Several who ask for one key at once cause one load, and a load that began before the key was
    invalidated is not kept. Failures are not kept.
    """

    def __init__(self, *, size: int, age_s: float) -> None:
        self._values: TTLCache[K, V] = TTLCache(maxsize=size, ttl=age_s)
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """The value of `key`, loaded when it is not there."""
        if key in self._values:
            return self._values[key]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.ensure_future(self._load(key, load))
            self._loading[key] = task
        return await asyncio.shield(task)

    async def _load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        mine = asyncio.current_task()
        try:
            value = await load()
            if self._loading.get(key) is mine:
                self._values[key] = value
            return value
        finally:
            if self._loading.get(key) is mine:
                del self._loading[key]

    def invalidate(self, key: K) -> None:
        """Drop a key; a load that is under way will not be kept."""
        self._values.pop(key, None)
        self._loading.pop(key, None)

    def clear(self) -> None:
        """Drop everything."""
        self._values.clear()
        self._loading.clear()
