"""The table of Prometheus metrics."""

from prometheus_client.metrics import MetricWrapperBase

from artcafe_gateway.reporting.metrics import Metrics
from docs.generate.markdown import code, sentence
from docs.generate.markdown import table as markdown_table

_SUFFIX = {"counter": "_total"}


def table() -> str:
    """One row for each metric of a gateway."""
    rows = []
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.describe():
                name = family.name + _SUFFIX.get(family.type, "")
                rows.append((code(name), family.type, sentence(family.documentation)))
    return markdown_table(("metric", "type", "description"), sorted(rows))
