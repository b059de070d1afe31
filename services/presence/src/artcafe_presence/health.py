"""The health of a client, derived from its heartbeats and its own status."""

from artcafe_common.contracts.presence import ClientHealth

DEGRADED_AFTER_INTERVALS = 1.5
_UNHEALTHY_STATUSES = frozenset({"unhealthy", "error", "critical", "failing"})
_DEGRADED_STATUSES = frozenset({"degraded", "warning"})
_TIMEOUT_REASONS = frozenset({"heartbeat_timeout", "gateway_gone"})


def assess_health(
    *, online: bool, heartbeat_age_s: float | None, status: str | None, reason: str | None, interval_s: float
) -> ClientHealth:
    """The health of a client.

    `heartbeat_age_s` is None when no live connection sends heartbeats, `status` is the client's own
    report, and `reason` is why it went offline.
    """
    if not online:
        return ClientHealth.UNHEALTHY if reason in _TIMEOUT_REASONS else ClientHealth.UNKNOWN
    reported = (status or "").lower()
    if reported in _UNHEALTHY_STATUSES:
        return ClientHealth.UNHEALTHY
    if heartbeat_age_s is None:
        return ClientHealth.UNKNOWN
    if reported in _DEGRADED_STATUSES or heartbeat_age_s > DEGRADED_AFTER_INTERVALS * interval_s:
        return ClientHealth.DEGRADED
    return ClientHealth.HEALTHY
