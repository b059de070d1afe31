"""The metrics of metering: the state of the broker, as it was read last."""

from collections.abc import Callable, Mapping

from artcafe_common.clock import now
from artcafe_common.contracts.broker import BrokerReport, BrokerServer, ConsumerState, StreamState
from artcafe_common.metrics.declaration import MetricSpec, counter, gauge
from artcafe_common.metrics.process import ProcessMetrics
from artcafe_common.metrics.registry import Read
from artcafe_metering.broker_monitor import BrokerMonitor
from artcafe_metering.broker_usage import BrokerUsageCollector

REPORT_AGE = gauge("artcafe_broker_report_age_seconds", "Age of what is known about the broker")
USAGE_READ = gauge(
    "artcafe_broker_usage_read_seconds", "Time that the last read of direct connections' traffic took"
)
TENANT_STREAMS = gauge(
    "artcafe_tenant_streams",
    "Streams of all organizations: `total`, `without_leader`, `missing_replica`",
    "state",
)

_BY_SERVER: Mapping[MetricSpec, Callable[[BrokerServer], float]] = {
    gauge("artcafe_broker_connections", "Open connections", "server"): lambda s: s.connections,
    gauge("artcafe_broker_subscriptions", "Subscriptions", "server"): lambda s: s.subscriptions,
    gauge("artcafe_broker_memory_bytes", "Memory of the server", "server"): lambda s: s.memory_bytes,
    counter(
        "artcafe_broker_slow_consumers_total", "Connections that the broker closed as too slow", "server"
    ): lambda s: s.slow_consumers,
    counter("artcafe_broker_messages_in_total", "Messages that the broker received", "server"): (
        lambda s: s.messages_in
    ),
    counter("artcafe_broker_messages_out_total", "Messages that the broker sent", "server"): (
        lambda s: s.messages_out
    ),
    counter("artcafe_broker_bytes_in_total", "Bytes that the broker received", "server"): lambda s: (
        s.bytes_in
    ),
    counter("artcafe_broker_bytes_out_total", "Bytes that the broker sent", "server"): lambda s: s.bytes_out,
    gauge("artcafe_jetstream_storage_bytes", "Disk space that streams use", "server"): lambda s: (
        s.storage_bytes
    ),
    gauge(
        "artcafe_jetstream_storage_reserved_bytes", "Disk space that streams and accounts reserve", "server"
    ): (lambda s: s.storage_reserved_bytes),
    gauge("artcafe_jetstream_storage_limit_bytes", "Disk space that JetStream may use", "server"): (
        lambda s: s.storage_limit_bytes
    ),
    counter("artcafe_jetstream_api_calls_total", "Calls of JetStream's API", "server"): lambda s: s.api_calls,
    counter("artcafe_jetstream_api_errors_total", "Failed calls of JetStream's API", "server"): (
        lambda s: s.api_errors
    ),
    gauge("artcafe_broker_cluster_size", "Servers that the cluster should have", "server"): lambda s: (
        s.cluster_size
    ),
    gauge(
        "artcafe_broker_has_meta_leader", "1 if the cluster can create streams (or is one server)", "server"
    ): (lambda s: bool(s.meta_leader) or s.cluster_size <= 1),
}
_BY_STREAM: Mapping[MetricSpec, Callable[[StreamState], float]] = {
    gauge("artcafe_stream_replicas", "Replicas that a stream of the platform should have", "stream"): (
        lambda s: s.replicas
    ),
    gauge("artcafe_stream_replicas_current", "Replicas that are up to date", "stream"): (
        lambda s: s.replicas_current
    ),
    gauge("artcafe_stream_has_leader", "1 if the stream can be read and written", "stream"): lambda s: (
        s.has_leader
    ),
    gauge("artcafe_stream_messages", "Stored messages", "stream"): lambda s: s.messages,
    gauge("artcafe_stream_bytes", "Stored bytes", "stream"): lambda s: s.bytes,
    gauge("artcafe_stream_limit_bytes", "Bytes that the stream stores at most", "stream"): lambda s: (
        s.max_bytes
    ),
}
_BY_CONSUMER: Mapping[MetricSpec, Callable[[ConsumerState], float]] = {
    gauge(
        "artcafe_consumer_pending", "Events that a durable consumer still has to read", "stream", "consumer"
    ): (lambda c: c.pending),
    gauge(
        "artcafe_consumer_ack_pending",
        "Events that were delivered and not acknowledged",
        "stream",
        "consumer",
    ): lambda c: c.ack_pending,
    gauge(
        "artcafe_consumer_redelivered", "Events that were delivered more than once", "stream", "consumer"
    ): (lambda c: c.redelivered),
}
BROKER_METRICS = (REPORT_AGE, USAGE_READ, TENANT_STREAMS, *_BY_SERVER, *_BY_STREAM, *_BY_CONSUMER)


def register(metrics: ProcessMetrics, *, monitor: BrokerMonitor, usage: BrokerUsageCollector) -> None:
    """Register the metrics of the broker."""
    registry = metrics.registry
    registry.register(USAGE_READ, lambda: {(): usage.seconds})
    registry.register(
        REPORT_AGE,
        lambda: {(): (now() - monitor.report.read_at).total_seconds()} if monitor.report else {},
    )
    registry.register(TENANT_STREAMS, lambda: _tenant_streams(monitor.report))
    for spec, read in _BY_SERVER.items():
        registry.register(spec, _per_server(monitor, read))
    for stream_spec, read_stream in _BY_STREAM.items():
        registry.register(stream_spec, _per_stream(monitor, read_stream))
    for consumer_spec, read_consumer in _BY_CONSUMER.items():
        registry.register(consumer_spec, _per_consumer(monitor, read_consumer))


def _per_server(monitor: BrokerMonitor, read: Callable[[BrokerServer], float]) -> Read:
    return lambda: {each.name: read(each) for each in (monitor.report.servers if monitor.report else ())}


def _per_stream(monitor: BrokerMonitor, read: Callable[[StreamState], float]) -> Read:
    return lambda: {each.name: read(each) for each in (monitor.report.streams if monitor.report else ())}


def _per_consumer(monitor: BrokerMonitor, read: Callable[[ConsumerState], float]) -> Read:
    return lambda: {
        (stream.name, each.name): read(each)
        for stream in (monitor.report.streams if monitor.report else ())
        for each in stream.consumers
    }


def _tenant_streams(report: BrokerReport | None) -> dict[str, int]:
    if report is None:
        return {}
    streams = report.tenant_streams
    return {
        "total": streams.total,
        "without_leader": streams.without_leader,
        "missing_replica": streams.missing_replica,
    }
