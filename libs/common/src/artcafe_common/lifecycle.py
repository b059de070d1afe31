"""Runs a service's process: settings, logging, waiting for dependencies, background jobs, shutdown."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

import structlog
import uvloop

from artcafe_common import __version__, logs
from artcafe_common.bus.errors import CommandError
from artcafe_common.service_manager import READY, STOPPING, ServiceManager
from artcafe_common.settings import ServiceSettings, SettingsError, load

SHUTDOWN_TIMEOUT_S = 10
RETRY_PAUSE_S = 0.1
MAX_RETRY_PAUSE_S = 2.0
CANCEL_INTERVAL_S = 0.5
# Python's thresholds of garbage collection, by generation. A collection stops the process, the longer the more objects
# it looks at: those of thousands of WebSockets take tenths of a second. So the oldest generation is rarely collected; the
# code leaves no reference cycles behind (docs/internals/performance.md).
GC_THRESHOLDS = 2_000, 5, 1_000
S = TypeVar("S", bound=ServiceSettings)
log = structlog.get_logger()
# Shows what the service waits for in its manager.
_on_waiting: ContextVar[Callable[[str], None]] = ContextVar("_on_waiting", default=lambda _waiting: None)

# A service's composition root: the service runs while its context is open.
App = Callable[[S], AbstractAsyncContextManager[None]]


def run(name: str, settings_type: type[S], app: App[S]) -> None:
    """Run a service until SIGTERM or SIGINT. An invalid setting ends the process with a one-line message."""
    try:
        settings = load(settings_type)
    except SettingsError as error:
        sys.exit(f"{name}: {error}")
    gc.set_threshold(*GC_THRESHOLDS)
    logs.configure(name, settings.server_id, settings.log_level)
    try:
        uvloop.run(_until_signal(app(settings), settings.revision))
    except SettingsError as error:
        sys.exit(f"{name}: {error}")


async def _until_signal(app: AbstractAsyncContextManager[None], revision: str) -> None:
    manager = ServiceManager()
    _on_waiting.set(lambda waiting: manager.notify(status=waiting))
    started, stop = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def serve() -> None:
        async with app:
            started.set()
            # Exclude the objects of the composition from later garbage collections.
            gc.collect()
            gc.freeze()
            log.info("ready", version=__version__, revision=revision)
            manager.notify(READY, status=describe_ready(revision))
            await stop.wait()
            log.info("stopping")
            manager.notify(STOPPING, status="stopping")

    watchdog = asyncio.create_task(manager.run_watchdog())
    running = asyncio.create_task(serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if started.is_set():
        await asyncio.wait({running}, timeout=SHUTDOWN_TIMEOUT_S)
    stopping.cancel()
    if not running.done():
        # The service still waits for its dependencies, or its shutdown takes too long.
        running.cancel()
    try:
        with suppress(asyncio.CancelledError):
            await running
    finally:
        watchdog.cancel()
        manager.close()
    log.info("stopped")


def describe_ready(revision: str) -> str:
    """The status line of a service that is ready; a deployment looks in it for the revision."""
    return f"ready, version {__version__}, revision {revision or 'unknown'}"


async def wait_until_available(dependency: str, check: Callable[[], Awaitable[object]]) -> None:
    """Call `check` with capped exponential back-off until it succeeds; each failure is logged."""
    pause = RETRY_PAUSE_S
    while True:
        try:
            await check()
        except (CommandError, OSError, TimeoutError) as error:
            log.warning("dependency_unavailable", dependency=dependency, reason=str(error))
            _on_waiting.get()(f"waiting for {dependency}: {error}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_RETRY_PAUSE_S)
        else:
            return


@asynccontextmanager
async def run_background(*jobs: Awaitable[None]) -> AsyncIterator[None]:
    """Run endless jobs while the context is open. A job that fails is logged and ends the process."""
    tasks = [asyncio.ensure_future(job) for job in jobs]

    def on_done(task: "asyncio.Future[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("background_job_failed", exc_info=task.exception())
            signal.raise_signal(signal.SIGTERM)

    for task in tasks:
        task.add_done_callback(on_done)
    try:
        yield
    finally:
        # Repeated, because Python 3.11's wait_for loses a cancellation that arrives with its result.
        pending = set(tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_INTERVAL_S)


async def run_periodically(seconds: float, job: Callable[[], Awaitable[object]], *, name: str) -> None:
    """Run `job` repeatedly with a pause of `seconds`; a failure is logged and does not stop the repetition."""
    while True:
        try:
            await job()
        except CommandError as error:
            log.warning("job_postponed", job=name, reason=error.detail)
        except Exception:
            log.exception("job_failed", job=name)
        await asyncio.sleep(seconds)
