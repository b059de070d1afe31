"""Running what waits for others: Ctrl-C ends it within a moment, whatever hangs."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any

# As every shell says it.
INTERRUPTED = 130
LEAVE_WITHIN_S = 3.0


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end; KeyboardInterrupt once it was cleaned up after a Ctrl-C, or an end without that."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)

        def stop(*_: object) -> None:
            # A second one ends it where it stands.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            loop.call_soon_threadsafe(task.cancel)
            late = threading.Timer(LEAVE_WITHIN_S, _end)
            late.daemon = True
            late.start()

        before = signal.signal(signal.SIGINT, stop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            signal.signal(signal.SIGINT, before)


def _end() -> None:
    sys.stdout.flush()
    os._exit(INTERRUPTED)
