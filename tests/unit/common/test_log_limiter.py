"""Warnings that repeat are logged at growing intervals, with their number."""

import pytest
import structlog

from artcafe_common import log_limiter
from artcafe_common.log_limiter import RepeatLimiter
from support.fakes.clock import FakeClock


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(log_limiter, "time", clock)
    return clock


@pytest.fixture
def log(clock):
    """Passes an event to the limiter; returns what is logged, or None."""
    limiter = RepeatLimiter()

    def pass_on(event="nats_error", level="warning", **fields):
        try:
            return limiter(None, "", {"event": event, "level": level, **fields})
        except structlog.DropEvent:
            return None

    return pass_on


def test_outage_of_ten_minutes_costs_a_dozen_lines_that_count_all_warnings(log, clock):
    lines = []
    for _ in range(600):
        lines.append(log(connection="gateway"))
        clock.advance(1)
    logged = [line for line in lines if line]
    assert lines[0] == {"event": "nats_error", "level": "warning", "connection": "gateway"}
    assert len(logged) <= 14
    clock.advance(30)
    logged.append(log(connection="gateway"))
    assert len(logged) + sum(line.get("repeated", 0) for line in logged) == 601


def test_warnings_of_other_kinds_are_logged_at_once(log):
    assert all(log(connection=name) for name in ("gateway", "presence"))
    assert all(log(event=name) for name in ("nats_error", "redis_unavailable"))
    assert log(connection="gateway") is None


def test_warning_after_a_quiet_time_is_logged_at_once(log, clock):
    assert log()
    assert log() is None
    clock.advance(61)
    assert log()


def test_other_levels_are_not_limited(log):
    assert all(log(level=level) for level in ("info", "error", "critical") for _ in range(10))


def test_number_of_kinds_is_bounded(log, monkeypatch):
    monkeypatch.setattr(log_limiter, "MAX_KINDS", 10)
    assert all(log(event=f"event {number}") for number in range(1000))
