"""Several gateway processes on one port: each a whole gateway, the kernel spreads the connections.

Nothing depends on which process a client reaches: tenants' names meet at the broker.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

from artcafe_common.child_processes import die_with_parent

WORKER = "ARTCAFE_GATEWAY_WORKER"
FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
STEADY_S = 10.0
POLL_S = 0.1
STOP_WITHIN_S = 12.0
log = structlog.get_logger()


def is_worker() -> bool:
    """Whether this process is one of several."""
    return WORKER in os.environ


def supervise(count: int) -> int:
    """Keep `count` workers running until SIGTERM or SIGINT; the exit code."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    workers = {number: _Worker(number) for number in range(count)}
    while not stopping:
        for worker in workers.values():
            worker.keep()
        time.sleep(POLL_S)
    for worker in workers.values():
        worker.terminate()
    until = time.monotonic() + STOP_WITHIN_S
    left = [worker.wait(until) for worker in workers.values()]
    return 0 if all(left) else 1


class _Worker:
    def __init__(self, number: int) -> None:
        self._number = number
        self._pause = FIRST_PAUSE_S
        self._start_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def keep(self) -> None:
        """Start the process, again with growing pauses while it does not last."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            log.warning("worker_ended", worker=self._number, code=self._process.returncode)
            self._pause = FIRST_PAUSE_S if now - self._began > STEADY_S else min(self._pause * 2, MAX_PAUSE_S)
            self._start_at = now + self._pause
            self._process = None
        if self._process is None and now >= self._start_at:
            environ = {**os.environ, WORKER: str(self._number)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "artcafe_gateway"],
                env=environ,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has one thread
            )
            self._began = now

    def terminate(self) -> None:
        """Ask the process to leave."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, until: float) -> bool:
        """Whether the process has left in time; it is killed otherwise."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return False
        return True
