"""The cache: single-flight loads, age, size and invalidation."""

import asyncio

import pytest
from cachetools import TTLCache

import artcafe_common.cache
from artcafe_common.cache import Cache, Versions
from support.fakes.clock import FakeClock


class Source:
    """Loads numbers; each load waits for `release` while held."""

    def __init__(self):
        self.loads = 0
        self.error = None
        self._free = asyncio.Event()
        self._free.set()

    def hold(self):
        self._free.clear()

    def release(self):
        self._free.set()

    async def load(self):
        self.loads += 1
        number = self.loads
        await self._free.wait()
        if self.error is not None:
            raise self.error
        return number


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(artcafe_common.cache, "TTLCache", clock.ttl_cache)
    return clock


@pytest.fixture
async def source():
    return Source()


@pytest.fixture
def cache(clock):
    return Cache(size=3, age_s=60)


async def test_value_is_loaded_once_within_its_age(cache, source, clock):
    assert [await cache.get("k", source.load) for _ in range(3)] == [1, 1, 1]
    clock.advance(61)
    assert await cache.get("k", source.load) == 2


async def test_value_that_expires_while_it_is_read_is_no_error(monkeypatch, source):
    clock = FakeClock()

    class Expiring(TTLCache):
        def __contains__(self, key):
            found = super().__contains__(key)
            clock.advance(61)
            return found

    def create(maxsize, ttl):
        return Expiring(maxsize, ttl, timer=clock.monotonic)

    monkeypatch.setattr(artcafe_common.cache, "TTLCache", create)
    cache = Cache(size=3, age_s=60)
    for _ in range(3):
        assert await cache.get("k", source.load) in (1, 2, 3)


async def test_none_is_a_value(cache):
    loads = []

    async def load():
        loads.append(1)

    assert [await cache.get("k", load) for _ in range(2)] == [None, None]
    assert len(loads) == 1


async def test_concurrent_reads_share_one_load(cache, source):
    assert await asyncio.gather(*(cache.get("k", source.load) for _ in range(10))) == [1] * 10


async def test_failure_reaches_all_readers_and_is_not_cached(cache, source):
    source.error = ZeroDivisionError()
    outcomes = await asyncio.gather(*(cache.get("k", source.load) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [ZeroDivisionError] * 3
    source.error = None
    assert await cache.get("k", source.load) == 2


async def test_cancelled_reader_does_not_cancel_the_load_of_others(cache, source):
    source.hold()
    first, second = (asyncio.create_task(cache.get("k", source.load)) for _ in range(2))
    await asyncio.sleep(0.001)
    first.cancel()
    source.release()
    assert await second == 1


async def test_value_loaded_before_an_invalidation_is_not_cached(cache, source):
    source.hold()
    early = asyncio.create_task(cache.get("k", source.load))
    await asyncio.sleep(0.001)
    cache.invalidate("k")
    late = asyncio.create_task(cache.get("k", source.load))
    await asyncio.sleep(0.001)
    source.release()
    assert (await early, await late) == (1, 2)
    assert await cache.get("k", source.load) == 2


async def test_cleared_cache_loads_again(cache, source):
    await cache.get("k", source.load)
    cache.clear()
    cache.invalidate("unknown")
    assert await cache.get("k", source.load) == 2


async def test_size_is_bounded(cache, source):
    for number in range(10):
        await cache.get(number, source.load)
    assert len(cache._values) == 3
    assert await cache.get(9, source.load) == 10


def test_versions_never_repeat_and_their_number_is_bounded():
    versions = Versions(size=2)
    assert versions.get("a") == versions.get("b")
    seen = [versions.get("a")]
    for key in "abcde":
        unchanged = versions.get("z")
        versions.change(key)
        seen.append(versions.get(key))
        assert versions.get("z") >= unchanged
    versions.clear()
    seen.append(versions.get("e"))
    assert len(set(seen)) == len(seen)
    # More changed keys than it can tell apart: all have changed.
    before = versions.get("z")
    for key in "abc":
        versions.change(key)
    assert versions.get("z") > before
