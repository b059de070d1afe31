"""How a client's health is judged."""

import pytest

from artcafe_common.contracts.presence import Health
from artcafe_presence.health import judge


@pytest.mark.parametrize(
    ("online", "since_beat_s", "status", "reason", "health"),
    [
        (True, 10, None, None, Health.HEALTHY),
        (True, 45, "online", None, Health.HEALTHY),
        (True, 45.1, None, None, Health.DEGRADED),
        (True, 10, "Degraded", None, Health.DEGRADED),
        (True, 10, "unhealthy", None, Health.UNHEALTHY),
        (True, 100, "error", None, Health.UNHEALTHY),
        (True, None, None, None, Health.UNKNOWN),
        (False, None, None, None, Health.UNKNOWN),
        (False, 10, "healthy", "closed", Health.UNKNOWN),
        (False, 95, "healthy", "heartbeat_timeout", Health.UNHEALTHY),
        (False, 10, None, "gateway_gone", Health.UNHEALTHY),
    ],
)
def test_health(online, since_beat_s, status, reason, health):
    assert (
        judge(online=online, since_beat_s=since_beat_s, status=status, reason=reason, interval_s=30) is health
    )
