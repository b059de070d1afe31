"""The table of Prometheus metrics."""

from artcafe_common.metrics.declaration import MetricSpec
from artcafe_common.metrics.process import PROCESS_METRICS, SERVICE_METRICS
from artcafe_gateway.metrics import GATEWAY_METRICS
from artcafe_identity.metrics import IDENTITY_METRICS
from artcafe_metering.metrics import BROKER_METRICS
from artcafe_presence.metrics import PRESENCE_METRICS
from artcafe_tenancy.metrics import TENANCY_METRICS
from docs.generate.markdown import code, sentence
from docs.generate.markdown import table as markdown_table

_SOURCES: tuple[tuple[str, tuple[MetricSpec, ...]], ...] = (
    ("every process", PROCESS_METRICS),
    ("every service but the gateway", SERVICE_METRICS),
    ("gateway", GATEWAY_METRICS),
    ("identity", IDENTITY_METRICS),
    ("tenancy", TENANCY_METRICS),
    ("presence", PRESENCE_METRICS),
    ("metering", BROKER_METRICS),
)


def every_metric() -> list[MetricSpec]:
    """The declarations of all metrics."""
    return [spec for _, specs in _SOURCES for spec in specs]


def table() -> str:
    """One row for each metric."""
    rows = [
        (code(spec.name), spec.type.value, ", ".join(map(code, spec.labels)), source, sentence(spec.doc))
        for source, specs in _SOURCES
        for spec in sorted(specs, key=lambda each: each.name)
    ]
    return markdown_table(("metric", "type", "labels", "of", "description"), rows)
