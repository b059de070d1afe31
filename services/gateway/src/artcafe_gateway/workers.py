"""Runs several gateway processes on one port; the kernel distributes the connections.

Each worker is a complete gateway. A client may reach any of them, as all messages pass through the broker. This process
notifies the service manager: READY=1 when every worker is ready, and then WATCHDOG=1. It kills and restarts a worker
whose event loop no longer runs.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import structlog

from artcafe_common.child_processes import die_with_parent
from artcafe_common.service_manager import FD_VARIABLE, READY, STOPPING, WATCHDOG, ServiceManager

WORKER_VARIABLE = "ARTCAFE_GATEWAY_WORKER"
DIRECTORY_VARIABLE = "ARTCAFE_GATEWAY_WORKER_DIR"
FIRST_PAUSE_S = 0.2
MAX_PAUSE_S = 5.0
# After this uptime, a worker's next restart is immediate again.
STABLE_UPTIME_S = 10.0
POLL_S = 0.1
SHUTDOWN_TIMEOUT_S = 14.0
# A worker that is ready and does not notify this process for that time is killed.
WORKER_TIMEOUT_S = 20.0
_NOTIFICATION_BYTES = 4096
log = structlog.get_logger()


def is_worker() -> bool:
    """Whether a supervisor started this process."""
    return WORKER_VARIABLE in os.environ


def worker_number() -> str:
    """The number of this worker; empty if no supervisor started this process."""
    return os.environ.get(WORKER_VARIABLE, "")


def worker_directory() -> Path | None:
    """The directory in which the workers of one gateway reach each other; None if there is none."""
    name = os.environ.get(DIRECTORY_VARIABLE, "")
    return Path(name) if name and is_worker() else None


def supervise(count: int) -> int:
    """Keep `count` workers running until SIGTERM or SIGINT; returns the exit code."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    directory = _create_directory()
    workers = {number: _Worker(number, directory) for number in range(count)}
    manager = ServiceManager()
    announced, notified_at = False, 0.0
    while not stopping:
        for worker in workers.values():
            worker.ensure_running()
            worker.read_notifications()
        if not announced and all(worker.ready for worker in workers.values()):
            announced = True
            manager.notify(READY, status=f"{workers[0].status}, {count} workers")
        interval_s = manager.watchdog_interval_s
        if interval_s is not None and time.monotonic() - notified_at > interval_s:
            notified_at = time.monotonic()
            manager.notify(WATCHDOG)
        time.sleep(POLL_S)
    manager.notify(STOPPING, status="stopping")
    for worker in workers.values():
        worker.terminate()
    deadline = time.monotonic() + SHUTDOWN_TIMEOUT_S
    exited = [worker.wait(deadline) for worker in workers.values()]
    if directory:
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if all(exited) else 1


def _create_directory() -> str:
    try:
        return tempfile.mkdtemp(prefix="artcafe-gateway-")
    except OSError as error:
        # Each worker then answers for itself.
        log.warning("worker_directory_not_created", reason=error.strerror or str(error))
        return ""


class _Worker:
    def __init__(self, number: int, directory: str = "") -> None:
        self._number = number
        self._directory = directory
        self._pause = FIRST_PAUSE_S
        self._start_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._notifications: socket.socket | None = None
        self._notified_at = 0.0
        self.ready = False
        self.status = ""

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
            self.ready = False
        if self.ready and now - self._notified_at > WORKER_TIMEOUT_S and self._process is not None:
            log.error("worker_not_responding", worker=self._number)
            self._process.kill()
            self.ready = False
        if self._process is None and now >= self._start_at:
            if self._notifications is not None:
                self._notifications.close()
            self._notifications, inherited = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._notifications.settimeout(0)
            environ = {
                **{name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"},
                WORKER_VARIABLE: str(self._number),
                DIRECTORY_VARIABLE: self._directory,
                FD_VARIABLE: str(inherited.fileno()),
                "WATCHDOG_USEC": str(int(WORKER_TIMEOUT_S * 1e6)),
            }
            with inherited:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "artcafe_gateway"],
                    env=environ,
                    pass_fds=(inherited.fileno(),),
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - this process has only one thread
                )
            self._started_at = now

    def read_notifications(self) -> None:
        """Read what the process has notified since the last call."""
        while self._notifications is not None:
            try:
                lines = self._notifications.recv(_NOTIFICATION_BYTES).decode().splitlines()
            except OSError:
                return
            if not lines:
                return
            self._notified_at = time.monotonic()
            self.ready = self.ready or READY in lines
            self.status = next(
                (line.partition("=")[2] for line in lines if line.startswith("STATUS=")), self.status
            )

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
