"""Stops a process for a while, as a paused virtual machine would."""

import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from support.waiting import eventually


@asynccontextmanager
async def paused(pid):
    """The process is stopped, and goes on afterwards if it still runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        # The signal takes effect later, and for each thread by itself.
        await eventually(lambda: _is_stopped(pid))
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid):
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return all(
        (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads.iterdir()
    )
