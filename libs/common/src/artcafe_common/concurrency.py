"""Runs coroutines at the same time, so that none of them outlives the call."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar, overload

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


@overload
async def run_together(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], /) -> tuple[A, B]: ...
@overload
async def run_together(
    first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], third: Coroutine[Any, Any, C], /
) -> tuple[A, B, C]: ...
@overload
async def run_together(*coroutines: Coroutine[Any, Any, T]) -> tuple[T, ...]: ...
async def run_together(*coroutines: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """The results, in order. The first failure cancels the others, and is raised once they have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tuple(task.result() for task in tasks)


async def run_bounded(jobs: Iterable[Callable[[], Awaitable[T]]], *, limit: int) -> list[T]:
    """The results, in order; at most `limit` jobs run at a time. The first failure cancels the others, and is raised."""
    results: dict[int, T] = {}
    listed = list(jobs)
    waiting = iter(enumerate(listed))

    async def work() -> None:
        for number, job in waiting:
            results[number] = await job()

    await run_together(*(work() for _ in range(min(limit, len(listed)))))
    return [results[number] for number in sorted(results)]


async def run_until_first(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Returns when the first one ends, or raises its failure; the others are cancelled, and have ended then."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def run_all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs every coroutine to its end, whatever happens to the others; raises the first failure afterwards."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
