"""The metrics of one process. Each value is read when Prometheus asks, from counters that exist anyway."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric

from artcafe_common.latency import BOUNDS_S, LatencyHistogram
from artcafe_common.metrics.declaration import MetricSpec, MetricType

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WORKER_LABEL = "worker"
Value = float | LatencyHistogram
# One value, or one for each value of the label; for each tuple of values, if there are several labels.
Reading = Value | Mapping[Any, Value]
Read = Callable[[], Reading]
log = structlog.get_logger()


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of the exposition."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric with its samples; workers of one gateway send each other theirs."""

    name: str
    type: str
    doc: str
    samples: list[Sample]


class MetricsRegistry:
    """Reads the metrics that the parts of a process have registered."""

    def __init__(self) -> None:
        self._reads: dict[str, tuple[MetricSpec, Read]] = {}
        # Processor time, memory and open files; on Linux only. It registers with its registry alone.
        self._process = ProcessCollector(registry=CollectorRegistry())

    def register(self, spec: MetricSpec, read: Read) -> None:
        """Add a metric; `read` must neither block nor change anything."""
        if spec.name in self._reads:
            raise ValueError(f"{spec.name} is registered already")
        self._reads[spec.name] = (spec, read)

    def register_all(self, reads: Mapping[MetricSpec, Read]) -> None:
        """Add several metrics."""
        for spec, read in reads.items():
            self.register(spec, read)

    @property
    def specs(self) -> list[MetricSpec]:
        """The declarations of all metrics."""
        return [spec for spec, _ in self._reads.values()]

    def collect(self) -> list[Family]:
        """Read every metric. One that cannot be read is logged and left out."""
        families = [_process_family(metric) for metric in self._process.collect()]
        for spec, read in self._reads.values():
            try:
                families.append(_family(spec, read()))
            except Exception:
                log.exception("metric_not_read", metric=spec.name)
        return families

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return render(self.collect())


def render(families: Iterable[Family]) -> bytes:
    """Prometheus' text format."""
    return generate_latest(_Collected([_to_metric(family) for family in families]))


def merge_workers(by_worker: Mapping[str, Iterable[Family]]) -> list[Family]:
    """The metrics of several processes in one list, each sample with the number of its worker."""
    merged: dict[str, Family] = {}
    for worker, families in by_worker.items():
        for family in families:
            into = merged.setdefault(
                family.name, Family(name=family.name, type=family.type, doc=family.doc, samples=[])
            )
            into.samples.extend(
                Sample(name=each.name, labels={**each.labels, WORKER_LABEL: worker}, value=each.value)
                for each in family.samples
            )
    return list(merged.values())


class _Collected(CollectorRegistry):
    def __init__(self, metrics: list[Metric]) -> None:
        super().__init__()
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _to_metric(family: Family) -> Metric:
    # prometheus_client appends the suffix of counters itself.
    name = family.name.removesuffix("_total") if family.type == MetricType.COUNTER else family.name
    metric = Metric(name, family.doc, family.type)
    for sample in family.samples:
        metric.add_sample(sample.name, sample.labels, sample.value)
    return metric


def _process_family(metric: Metric) -> Family:
    samples = [Sample(name=each.name, labels=dict(each.labels), value=each.value) for each in metric.samples]
    name = metric.name + "_total" * (metric.type == MetricType.COUNTER)
    return Family(name=name, type=metric.type, doc=metric.documentation, samples=samples)


def _family(spec: MetricSpec, reading: Reading) -> Family:
    samples: list[Sample] = []
    values: Mapping[Any, Value] = reading if isinstance(reading, Mapping) else {(): reading}
    for key, value in values.items():
        labels = dict(zip(spec.labels, (key,) if isinstance(key, str) else key, strict=True))
        samples += _samples(spec, labels, value)
    return Family(name=spec.name, type=spec.type, doc=spec.doc, samples=samples)


def _samples(spec: MetricSpec, labels: dict[str, str], value: Value) -> list[Sample]:
    if not isinstance(value, LatencyHistogram):
        return [Sample(name=spec.name, labels=labels, value=float(value))]
    samples, count = [], 0
    for bound, bucket in zip((*map(str, BOUNDS_S), "+Inf"), value.buckets, strict=True):
        count += bucket
        samples.append(Sample(name=f"{spec.name}_bucket", labels={**labels, "le": bound}, value=count))
    return [
        *samples,
        Sample(name=f"{spec.name}_count", labels=labels, value=count),
        Sample(name=f"{spec.name}_sum", labels=labels, value=value.total_s),
    ]
