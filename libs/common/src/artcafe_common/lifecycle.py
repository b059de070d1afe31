"""The life of a service's process: settings, logs, waiting for stores, signals, a clean end."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar

import structlog
import uvloop

from artcafe_common import logs
from artcafe_common.bus.errors import CommandError
from artcafe_common.settings import ServiceSettings, SettingsError, load

STOP_WITHIN_S = 10
# New objects between two looks for unreachable ones; Python's 700 costs a gateway that thousands
# connect to a quarter of its time (docs/internals/performance.md).
GC_EVERY = 20_000
S = TypeVar("S", bound=ServiceSettings)
log = structlog.get_logger()

# The whole of a composition: enter it, and the service runs until it is left.
App = Callable[[S], AbstractAsyncContextManager[None]]


def run(name: str, settings_type: type[S], app: App[S]) -> None:
    """Run a service until SIGTERM or SIGINT; a bad setting ends it at once with one line."""
    try:
        settings = load(settings_type)
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    gc.set_threshold(GC_EVERY, 20, 10)
    logs.configure(name, settings.server_id, settings.log_level)
    try:
        uvloop.run(_until_signal(app(settings)))
    except SettingsError as error:
        sys.exit(f"{name}: {error}")


async def _until_signal(app: AbstractAsyncContextManager[None]) -> None:
    entered, stop = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def hold() -> None:
        async with app:
            entered.set()
            # What lives as long as the process is not looked at again.
            gc.collect()
            gc.freeze()
            log.info("ready")
            await stop.wait()
            log.info("stopping")

    running = asyncio.create_task(hold())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if entered.is_set():
        await asyncio.wait({running}, timeout=STOP_WITHIN_S)
    stopping.cancel()
    if not running.done():
        # It still waits for its stores, or does not end in time.
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    log.info("stopped")


async def wait_until_available(dependency: str, check: Callable[[], Awaitable[object]]) -> None:
    """Return once `check` succeeds; try again with capped back-off, and say what is waited for."""
    pause = 0.1
    while True:
        try:
            await check()
        except (CommandError, OSError, TimeoutError) as error:
            log.warning("waiting_for", dependency=dependency, reason=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        else:
            return


@asynccontextmanager
async def run_background(*jobs: Awaitable[None]) -> AsyncIterator[None]:
    """Run endless jobs beside the service; one that fails is logged, and its failure ends the process."""
    tasks = [asyncio.ensure_future(job) for job in jobs]

    def done(task: "asyncio.Future[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("background_job_failed", exc_info=task.exception())
            signal.raise_signal(signal.SIGTERM)

    for task in tasks:
        task.add_done_callback(done)
    try:
        yield
    finally:
        # Python 3.11's wait_until_available loses a cancellation that meets its result, hence again and again.
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.5)


async def run_periodically(seconds: float, job: Callable[[], Awaitable[object]], *, name: str) -> None:
    """Run `job` again and again, `seconds` apart; a failure is logged and the next round comes."""
    while True:
        try:
            await job()
        except CommandError as error:
            log.warning("job_postponed", job=name, reason=error.detail)
        except Exception:
            log.exception("job_failed", job=name)
        await asyncio.sleep(seconds)
