"""The rules by which a client's health is judged."""

from artcafe_common.contracts.presence import ClientHealth

OVERDUE = 1.5
_UNHEALTHY_WORDS = frozenset({"unhealthy", "error", "critical", "failing"})
_DEGRADED_WORDS = frozenset({"degraded", "warning"})
_TIMEOUTS = frozenset({"heartbeat_timeout", "gateway_gone"})


def judge(
    *, online: bool, since_beat_s: float | None, status: str | None, reason: str | None, interval_s: float
) -> ClientHealth:
    """The health of a client.

    `since_beat_s` is None when no connection of it ever sent a heartbeat, `status` its own word,
    `reason` why it went offline.
    """
    if not online:
        return ClientHealth.UNHEALTHY if reason in _TIMEOUTS else ClientHealth.UNKNOWN
    word = (status or "").lower()
    if word in _UNHEALTHY_WORDS:
        return ClientHealth.UNHEALTHY
    if since_beat_s is None:
        return ClientHealth.UNKNOWN
    if word in _DEGRADED_WORDS or since_beat_s > OVERDUE * interval_s:
        return ClientHealth.DEGRADED
    return ClientHealth.HEALTHY
