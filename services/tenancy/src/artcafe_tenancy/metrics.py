"""The metrics of tenancy."""

from artcafe_common.metrics.declaration import counter
from artcafe_common.metrics.process import ProcessMetrics
from artcafe_tenancy.outbox import Outbox

OUTBOX_ENTRIES = counter(
    "artcafe_outbox_entries_total",
    "Stored changes whose events were published, at once or `late`, and failed attempts (`delayed`)",
    "result",
)

TENANCY_METRICS = (OUTBOX_ENTRIES,)


def register(metrics: ProcessMetrics, *, outbox: Outbox) -> None:
    """Register the metrics of tenancy's parts."""
    metrics.registry.register(OUTBOX_ENTRIES, lambda: outbox.results)
