"""Runs a coroutine so that Ctrl-C ends it within seconds, even if it hangs."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

# The exit code of every shell after Ctrl-C.
INTERRUPTED = 130
SHUTDOWN_TIMEOUT_S = 3.0
T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion, and return its result.

    Ctrl-C cancels it and raises KeyboardInterrupt; if cancellation takes too long, the process exits.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)

        def cancel(*_: object) -> None:
            # A second Ctrl-C interrupts at once.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            loop.call_soon_threadsafe(task.cancel)
            timer = threading.Timer(SHUTDOWN_TIMEOUT_S, _exit)
            timer.daemon = True
            timer.start()

        previous = signal.signal(signal.SIGINT, cancel)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            signal.signal(signal.SIGINT, previous)


def _exit() -> None:
    sys.stdout.flush()
    os._exit(INTERRUPTED)
