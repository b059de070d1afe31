"""The gateway's workers."""

import signal
import subprocess

import pytest

from artcafe_gateway import workers
from artcafe_gateway.workers import WORKER_TIMEOUT_S


@pytest.fixture
def worker(monkeypatch, clock):
    monkeypatch.setattr(workers, "time", clock)
    # Not a gateway, but a process that notifies nothing.
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    worker = workers._Worker(0)
    worker._process = subprocess.Popen(["sleep", "60"])
    worker._started_at = clock.now
    yield worker
    worker._process.kill()
    worker._process.wait()


def test_a_worker_that_stops_notifying_is_killed(worker, clock):
    worker.ready, worker._notified_at = True, clock.now
    clock.advance(WORKER_TIMEOUT_S - 1)
    worker.ensure_running()
    assert worker._process.poll() is None
    clock.advance(2)
    worker.ensure_running()
    assert worker._process.wait(10) == -signal.SIGKILL
    assert not worker.ready


def test_a_worker_that_waits_for_its_dependencies_is_left_alone(worker, clock):
    clock.advance(WORKER_TIMEOUT_S * 10)
    worker.ensure_running()
    assert worker._process.poll() is None
