"""Declarations of metrics, from which the exposition and the reference in the documentation follow."""

from enum import StrEnum

import msgspec


class MetricType(StrEnum):
    """Prometheus' types of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A metric. The values of its `labels` come from sets that are known in advance, never from a tenant or client."""

    name: str
    type: MetricType
    doc: str
    labels: tuple[str, ...] = ()


def counter(name: str, doc: str, *labels: str) -> MetricSpec:
    """A number that only grows; its name ends with `_total`."""
    if not name.endswith("_total"):
        raise ValueError(f"the name of a counter ends with _total: {name}")
    return MetricSpec(name=name, type=MetricType.COUNTER, doc=doc, labels=labels)


def gauge(name: str, doc: str, *labels: str) -> MetricSpec:
    """A number that grows and falls."""
    return MetricSpec(name=name, type=MetricType.GAUGE, doc=doc, labels=labels)


def histogram(name: str, doc: str, *labels: str) -> MetricSpec:
    """A distribution of durations in seconds."""
    return MetricSpec(name=name, type=MetricType.HISTOGRAM, doc=doc, labels=labels)
