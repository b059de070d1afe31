"""The metrics of identity."""

from collections.abc import Mapping

from artcafe_common.broker.client import HardenedNats
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.latency import CallStatistics
from artcafe_common.metrics.declaration import counter, gauge, histogram
from artcafe_common.metrics.process import ProcessMetrics
from artcafe_identity.auth_callout import MAX_PENDING_LOGINS, AuthCallout
from artcafe_identity.login_failures import MAX_QUEUED, LoginFailureReporter
from artcafe_identity.user_details_recorder import MAX_WAITING, UserDetailsRecorder

CALLOUTS = counter(
    "artcafe_auth_callouts_total",
    "Direct NATS logins: `accepted`, `rejected`, `unanswered` or `overloaded`",
    "result",
)
CALLOUT_SECONDS = histogram("artcafe_auth_callout_seconds", "Time until a direct NATS login was answered")
LOGINS_RUNNING = gauge("artcafe_auth_callouts_running", "Direct NATS logins that are not answered yet")

IDENTITY_METRICS = (CALLOUTS, CALLOUT_SECONDS, LOGINS_RUNNING)


def register(
    metrics: ProcessMetrics,
    *,
    callout: AuthCallout,
    login_failures: LoginFailureReporter,
    user_details: UserDetailsRecorder,
    consumer: EventConsumer,
    connections: Mapping[str, HardenedNats],
    stores: Mapping[str, CallStatistics],
) -> None:
    """Register the metrics of identity's parts."""
    metrics.add_consumers(consumer)
    metrics.add_connections(**connections)
    metrics.add_stores(**stores)
    metrics.registry.register_all(
        {
            CALLOUTS: lambda: callout.results,
            CALLOUT_SECONDS: lambda: callout.seconds,
            LOGINS_RUNNING: lambda: callout.running_count,
        }
    )
    metrics.add_queue("logins", lambda: (callout.running_count, MAX_PENDING_LOGINS))
    metrics.add_queue("user_details", lambda: (user_details.waiting_count, MAX_WAITING))
    metrics.add_queue("failed_logins", lambda: (login_failures.queued_count, MAX_QUEUED))
