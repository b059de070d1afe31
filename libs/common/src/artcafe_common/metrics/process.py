"""The metrics that every process has, whatever its service."""

import asyncio
from collections.abc import Callable

from artcafe_common import __version__
from artcafe_common.broker.client import HardenedNats
from artcafe_common.broker.drop_log import DropLog
from artcafe_common.bus.client import Bus
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.bus.endpoints import EndpointServer
from artcafe_common.latency import CallStatistics
from artcafe_common.metrics.declaration import counter, gauge, histogram
from artcafe_common.metrics.registry import MetricsRegistry

BUILD_INFO = gauge(
    "artcafe_build_info", "Always 1; the running version and revision", "service", "version", "revision"
)
ASYNCIO_TASKS = gauge("artcafe_asyncio_tasks", "Running asyncio tasks")
NATS_CONNECTED = gauge("artcafe_nats_connected", "1 while connected to the broker, 0 otherwise", "connection")
NATS_RECONNECTS = counter("artcafe_nats_reconnects_total", "Reconnections to the broker", "connection")
NATS_PENDING_BYTES = gauge(
    "artcafe_nats_pending_bytes", "Bytes waiting to be sent to the broker", "connection"
)
MESSAGES_DROPPED = counter(
    "artcafe_messages_dropped_total",
    "Messages from the broker that were dropped, by the kind of error",
    "error",
)
COMMANDS = counter(
    "artcafe_commands_total", "Handled commands; the code is `ok` or the error's", "command", "code"
)
COMMAND_SECONDS = histogram("artcafe_command_seconds", "Time in which a command was handled", "command")
COMMANDS_RUNNING = gauge("artcafe_commands_running", "Commands that are being handled")
COMMANDS_LIMIT = gauge("artcafe_commands_limit", "How many commands are handled at the same time at most")
CALLS = counter(
    "artcafe_calls_total", "Commands sent to other services; the code as above", "command", "code"
)
CALL_SECONDS = histogram("artcafe_call_seconds", "Time until a command was answered", "command")
EVENTS = counter(
    "artcafe_events_total",
    "Events of a durable consumer; the result is `handled`, `failed` (and repeated) or `given_up`",
    "consumer",
    "result",
)
STORE_CALLS = counter(
    "artcafe_store_calls_total",
    "Calls of a store; the result is `ok` or `error`",
    "store",
    "operation",
    "result",
)
STORE_SECONDS = histogram("artcafe_store_seconds", "Duration of a store's calls", "store", "operation")
QUEUE_LENGTH = gauge("artcafe_queue_length", "Entries that wait in this process", "queue")
QUEUE_LIMIT = gauge("artcafe_queue_limit", "How many entries a queue holds at most", "queue")
PROCESS_METRICS = (
    *(BUILD_INFO, ASYNCIO_TASKS, NATS_CONNECTED, NATS_RECONNECTS, NATS_PENDING_BYTES, MESSAGES_DROPPED),
    *(CALLS, CALL_SECONDS, STORE_CALLS, STORE_SECONDS, QUEUE_LENGTH, QUEUE_LIMIT),
)
SERVICE_METRICS = (COMMANDS, COMMAND_SECONDS, COMMANDS_RUNNING, COMMANDS_LIMIT, EVENTS)

# The length of a queue, and its limit.
QueueState = tuple[int, int]


class ProcessMetrics:
    """What the parts of a process register themselves with; `metrics` has the resulting registry."""

    def __init__(self, service: str, revision: str) -> None:
        self.registry = MetricsRegistry()
        self._connections: dict[str, HardenedNats] = {}
        self._consumers: dict[str, EventConsumer] = {}
        self._stores: dict[str, CallStatistics] = {}
        self._queues: dict[str, Callable[[], QueueState]] = {}
        self.registry.register_all(
            {
                BUILD_INFO: lambda: {(service, __version__, revision): 1},
                ASYNCIO_TASKS: lambda: len(asyncio.all_tasks()),
                NATS_CONNECTED: lambda: self._per_connection(lambda nc: nc.is_connected),
                NATS_RECONNECTS: lambda: self._per_connection(lambda nc: nc.stats["reconnects"]),
                NATS_PENDING_BYTES: lambda: self._per_connection(lambda nc: nc.pending_data_size),
                MESSAGES_DROPPED: lambda: DropLog.by_error,
                STORE_CALLS: self._store_calls,
                STORE_SECONDS: lambda: {
                    (store, operation): durations
                    for store, statistics in self._stores.items()
                    for operation, durations in statistics.seconds.items()
                },
                QUEUE_LENGTH: lambda: {name: read()[0] for name, read in self._queues.items()},
                QUEUE_LIMIT: lambda: {name: read()[1] for name, read in self._queues.items()},
            }
        )

    def add_connections(self, **connections: HardenedNats) -> None:
        """Report the state of connections to the broker, by name."""
        self._connections.update(connections)

    def add_bus(self, bus: Bus) -> None:
        """Report the commands that are sent."""
        statistics = bus.statistics
        self.registry.register(CALLS, lambda: statistics.counts)
        self.registry.register(CALL_SECONDS, lambda: statistics.seconds)

    def add_endpoints(self, server: EndpointServer) -> None:
        """Report the commands that are handled, and the events of the consumers."""
        statistics = server.statistics
        self.registry.register_all(
            {
                COMMANDS: lambda: statistics.counts,
                COMMAND_SECONDS: lambda: statistics.seconds,
                COMMANDS_RUNNING: lambda: server.running_count,
                COMMANDS_LIMIT: lambda: server.concurrency,
                EVENTS: self._events,
            }
        )

    def add_consumers(self, *consumers: EventConsumer) -> None:
        """Report the events of durable consumers."""
        self._consumers.update({consumer.durable: consumer for consumer in consumers})

    def add_stores(self, **stores: CallStatistics) -> None:
        """Report the calls of stores, by name."""
        self._stores.update(stores)

    def add_queue(self, name: str, read: Callable[[], QueueState]) -> None:
        """Report a queue in memory."""
        self._queues[name] = read

    def _per_connection(self, read: Callable[[HardenedNats], float]) -> dict[str, float]:
        return {name: read(nc) for name, nc in self._connections.items()}

    def _events(self) -> dict[tuple[str, ...], int]:
        return {
            (durable, result): count
            for durable, consumer in self._consumers.items()
            for result, count in consumer.results.items()
        }

    def _store_calls(self) -> dict[tuple[str, ...], int]:
        return {
            (store, *key): count
            for store, statistics in self._stores.items()
            for key, count in statistics.counts.items()
        }
