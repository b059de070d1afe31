"""The metrics of presence."""

from artcafe_common.metrics.declaration import counter
from artcafe_common.metrics.process import ProcessMetrics
from artcafe_presence.gateways import GatewayEventHandler
from artcafe_presence.ingest import MAX_WAITING, IngestReceiver
from artcafe_presence.reports import MAX_PENDING, ReportBuffer

REPORTS = counter(
    "artcafe_presence_reports_total",
    "Heartbeats and other reports of clients, by `websocket` or `nats`",
    "transport",
)
REPORTS_DROPPED = counter(
    "artcafe_presence_reports_dropped_total", "Reports of clients that were dropped", "reason"
)

PRESENCE_METRICS = (REPORTS, REPORTS_DROPPED)


def register(
    metrics: ProcessMetrics, *, gateways: GatewayEventHandler, ingest: IngestReceiver, reports: ReportBuffer
) -> None:
    """Register the metrics of presence's parts."""
    metrics.registry.register_all(
        {
            REPORTS: lambda: {"websocket": gateways.received, "nats": reports.received},
            REPORTS_DROPPED: lambda: {
                "queue_full": ingest.overflowed + reports.overflowed,
                "store_unavailable": gateways.dropped + reports.dropped,
                "invalid": reports.rejected,
                "unknown_sender": ingest.unresolved,
            },
        }
    )
    metrics.add_queue("unresolved_reports", lambda: (ingest.waiting_count, MAX_WAITING))
    metrics.add_queue("reports", lambda: (reports.pending_count, MAX_PENDING))
