"""Which writes are repeated, how often, and which are forgotten."""

import pytest

from artcafe_common.bus.errors import StoreUnavailable
from artcafe_gateway.http import unconfirmed_writes
from artcafe_gateway.http.unconfirmed_writes import ROUNDS, UnconfirmedWrites


class Store:
    """Writes names, while it is available."""

    def __init__(self):
        self.written = []
        self.available = True

    def write(self, name):
        async def execute():
            if not self.available:
                raise StoreUnavailable
            self.written.append(name)

        return execute


@pytest.fixture
def store():
    return Store()


async def test_each_write_is_executed_once_and_in_order(store):
    writes = UnconfirmedWrites(lifetime_s=60)
    for name in "abc":
        writes.add(store.write(name))
    store.available = False
    with pytest.raises(StoreUnavailable):
        await writes.repeat()
    store.available = True
    for _ in range(2):
        await writes.repeat()
    assert store.written == ["a", "b", "c"]


async def test_repeated_write_is_executed_in_several_rounds(store):
    writes = UnconfirmedWrites(lifetime_s=60)
    writes.add(store.write("repeated"), repeated=True)
    writes.add(store.write("once"))
    for _ in range(ROUNDS + 2):
        await writes.repeat()
    assert store.written == ["repeated", "once"] + ["repeated"] * (ROUNDS - 1)


async def test_expired_writes_are_forgotten(store):
    writes = UnconfirmedWrites(lifetime_s=-1)
    writes.add(store.write("late"))
    await writes.repeat()
    assert store.written == []


async def test_oldest_writes_are_forgotten_beyond_the_limit(store, monkeypatch):
    monkeypatch.setattr(unconfirmed_writes, "MAX_WRITES", 3)
    writes = UnconfirmedWrites(lifetime_s=60)
    for name in "abcde":
        writes.add(store.write(name))
    await writes.repeat()
    assert store.written == ["c", "d", "e"]


async def test_failing_write_does_not_hold_up_the_others(store):
    async def fail():
        raise RuntimeError

    writes = UnconfirmedWrites(lifetime_s=60)
    writes.add(fail)
    writes.add(store.write("next"))
    with pytest.raises(RuntimeError):
        await writes.repeat()
    await writes.repeat()
    assert store.written == ["next"]
