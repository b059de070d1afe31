"""Coroutines that run at the same time: none outlives the call, and the first failure is raised."""

import asyncio
import functools

import pytest

from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.concurrency import run_all, run_bounded, run_together, run_until_first


class Work:
    """Records which of its steps ended, and how."""

    def __init__(self):
        self.done, self.cancelled = [], []

    async def step(self, name, seconds=0.0, error=None):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if error is not None:
            raise error
        self.done.append(name)
        return name


async def test_results_come_in_order():
    work = Work()
    assert await run_together(work.step("a", 0.01), work.step("b"), work.step("c")) == ("a", "b", "c")
    assert await run_together() == ()


async def test_first_failure_cancels_the_others_and_is_raised_as_it_is():
    work = Work()
    with pytest.raises(ServiceUnavailable):
        await run_together(work.step("slow", 30), work.step("fails", error=ServiceUnavailable()))
    assert work.cancelled == ["slow"]


async def test_cancelled_call_cancels_all():
    work = Work()
    call = asyncio.create_task(run_together(work.step("a", 30), work.step("b", 30)))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sorted(work.cancelled) == ["a", "b"]


async def test_failure_of_one_does_not_stop_the_others_of_run_all():
    work = Work()
    with pytest.raises(ServiceUnavailable):
        await run_all([work.step("fails", error=ServiceUnavailable()), work.step("a", 0.01), work.step("b")])
    assert sorted(work.done) == ["a", "b"]


async def test_bounded_jobs_run_in_order_and_at_most_so_many_at_once():
    running = most = 0

    async def job(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (number % 3))
        running -= 1
        return number

    jobs = (functools.partial(job, number) for number in range(20))
    assert await run_bounded(jobs, limit=4) == list(range(20))
    assert most == 4
    assert await run_bounded([], limit=4) == []


async def test_failure_of_a_bounded_job_ends_the_others():
    work = Work()
    jobs = [
        functools.partial(work.step, "a", 5),
        functools.partial(work.step, "b", 0, ServiceUnavailable()),
        functools.partial(work.step, "c"),
    ]
    with pytest.raises(ServiceUnavailable):
        await run_bounded(jobs, limit=2)
    assert (work.cancelled, work.done) == (["a"], [])


async def test_until_first_ends_the_others_and_raises_the_failure_of_the_first():
    ended = []

    async def wait():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    await run_until_first(wait(), asyncio.sleep(0), wait())
    assert ended == [1, 1]

    async def fail():
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await run_until_first(wait(), fail())
    assert ended == [1, 1, 1]
