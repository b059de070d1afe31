"""Runs several gateway processes on one port; the kernel distributes the connections.

Each worker is a complete gateway. A client may reach any of them, as all messages pass through the broker.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

from artcafe_common.child_processes import die_with_parent

WORKER_VARIABLE = "ARTCAFE_GATEWAY_WORKER"
FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
# After this uptime, a worker's next restart is immediate again.
STABLE_UPTIME_S = 10.0
POLL_S = 0.1
SHUTDOWN_TIMEOUT_S = 12.0
log = structlog.get_logger()


def is_worker() -> bool:
    """Whether a supervisor started this process."""
    return WORKER_VARIABLE in os.environ


def supervise(count: int) -> int:
    """Keep `count` workers running until SIGTERM or SIGINT; returns the exit code."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    workers = {number: _Worker(number) for number in range(count)}
    while not stopping:
        for worker in workers.values():
            worker.ensure_running()
        time.sleep(POLL_S)
    for worker in workers.values():
        worker.terminate()
    deadline = time.monotonic() + SHUTDOWN_TIMEOUT_S
    exited = [worker.wait(deadline) for worker in workers.values()]
    return 0 if all(exited) else 1


class _Worker:
    def __init__(self, number: int) -> None:
        self._number = number
        self._pause = FIRST_PAUSE_S
        self._start_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def ensure_running(self) -> None:
        """Start the process if it is not running, with exponential back-off after crashes."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            log.warning("worker_exited", worker=self._number, code=self._process.returncode)
            self._pause = (
                FIRST_PAUSE_S
                if now - self._started_at > STABLE_UPTIME_S
                else min(self._pause * 2, MAX_PAUSE_S)
            )
            self._start_at = now + self._pause
            self._process = None
        if self._process is None and now >= self._start_at:
            environ = {**os.environ, WORKER_VARIABLE: str(self._number)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "artcafe_gateway"],
                env=environ,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has only one thread
            )
            self._started_at = now

    def terminate(self) -> None:
        """Send SIGTERM to the process."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline: float) -> bool:
        """Wait for the process to exit; at the deadline it is killed, and False returned."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return False
        return True
