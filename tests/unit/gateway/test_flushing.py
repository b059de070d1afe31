"""Concurrent callers share flushes, and each flush covers what was published before it."""

import asyncio

import pytest

from artcafe_gateway.bridges.flushing import FlushCoalescer
from artcafe_gateway.errors import BrokerUnavailable


class Connection:
    """Counts flushes; each waits until `answer` is called."""

    def __init__(self):
        self.started = 0
        self.error = None
        self._answers = asyncio.Queue()

    async def flush(self):
        self.started += 1
        await self._answers.get()
        if self.error is not None:
            raise self.error

    def answer(self):
        self._answers.put_nowait(None)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def connection():
    return Connection()


@pytest.fixture
def flushes(connection):
    return FlushCoalescer(connection.flush)


async def test_concurrent_callers_share_one_flush(connection, flushes):
    callers = [asyncio.create_task(flushes.flush()) for _ in range(10)]
    await turns()
    connection.answer()
    await asyncio.gather(*callers)
    assert connection.started == 1


async def test_caller_during_a_flush_waits_for_the_next_one(connection, flushes):
    first = asyncio.create_task(flushes.flush())
    await turns()
    second, third = asyncio.create_task(flushes.flush()), asyncio.create_task(flushes.flush())
    await turns()
    assert connection.started == 1
    connection.answer()
    await first
    await turns()
    # What the second caller published may have been too late for the first flush.
    assert (connection.started, second.done(), third.done()) == (2, False, False)
    connection.answer()
    await asyncio.gather(second, third)
    assert connection.started == 2


async def test_error_reaches_every_caller_of_the_flush(connection, flushes):
    connection.error = BrokerUnavailable()
    connection.answer()
    outcomes = await asyncio.gather(*(flushes.flush() for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [BrokerUnavailable] * 3


async def test_failed_flush_does_not_affect_the_next(connection, flushes):
    connection.error = BrokerUnavailable()
    connection.answer()
    with pytest.raises(BrokerUnavailable):
        await flushes.flush()
    connection.error = None
    connection.answer()
    await flushes.flush()


async def test_cancelled_caller_does_not_cancel_the_flush_of_others(connection, flushes):
    first, second = asyncio.create_task(flushes.flush()), asyncio.create_task(flushes.flush())
    await turns()
    first.cancel()
    await turns()
    connection.answer()
    await second
    assert connection.started == 1


async def test_callbacks_of_one_turn_share_one_flush_and_run_in_order(connection, flushes):
    calls = []
    for number in range(5):
        flushes.call_when_flushed(lambda error, number=number: calls.append((number, error)))
    await turns()
    assert calls == []
    connection.answer()
    await turns()
    assert calls == [(number, None) for number in range(5)]
    assert connection.started == 1


async def test_callbacks_receive_the_error(connection, flushes):
    calls = []
    connection.error = BrokerUnavailable()
    connection.answer()
    flushes.call_when_flushed(calls.append)
    await turns()
    assert calls == [connection.error]


async def test_later_callback_gets_its_own_flush(connection, flushes):
    calls = []
    flushes.call_when_flushed(lambda _: calls.append("first"))
    await turns()
    flushes.call_when_flushed(lambda _: calls.append("second"))
    await turns()
    connection.answer()
    await turns()
    assert calls == ["first"]
    connection.answer()
    await turns()
    assert calls == ["first", "second"]


async def test_failing_callback_does_not_keep_the_others_waiting(flushes, connection):
    outcomes = []

    def fail(_error):
        raise RuntimeError

    flushes.call_when_flushed(fail)
    flushes.call_when_flushed(outcomes.append)
    await turns()
    connection.answer()
    await turns()
    assert outcomes == [None]


async def test_callbacks_are_called_when_the_flush_fails_unexpectedly(flushes, connection):
    outcomes = []
    connection.error = RuntimeError()
    flushes.call_when_flushed(outcomes.append)
    await turns()
    connection.answer()
    await turns()
    assert [type(each) for each in outcomes] == [BrokerUnavailable]
