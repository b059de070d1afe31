"""Rules for a client's health."""

import pytest

from artcafe_common.contracts.presence import ClientHealth
from artcafe_presence.health import assess_health


@pytest.mark.parametrize(
    ("online", "heartbeat_age_s", "status", "reason", "health"),
    [
        (True, 10, None, None, ClientHealth.HEALTHY),
        (True, 45, "online", None, ClientHealth.HEALTHY),
        (True, 45.1, None, None, ClientHealth.DEGRADED),
        (True, 10, "Degraded", None, ClientHealth.DEGRADED),
        (True, 10, "unhealthy", None, ClientHealth.UNHEALTHY),
        (True, 100, "error", None, ClientHealth.UNHEALTHY),
        (True, None, None, None, ClientHealth.UNKNOWN),
        (False, None, None, None, ClientHealth.UNKNOWN),
        (False, 10, "healthy", "closed", ClientHealth.UNKNOWN),
        (False, 95, "healthy", "heartbeat_timeout", ClientHealth.UNHEALTHY),
        (False, 10, None, "gateway_gone", ClientHealth.UNHEALTHY),
    ],
)
def test_health_of_a_client(online, heartbeat_age_s, status, reason, health):
    assert (
        assess_health(
            online=online, heartbeat_age_s=heartbeat_age_s, status=status, reason=reason, interval_s=30
        )
        is health
    )
