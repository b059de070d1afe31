"""Prometheus metrics of a gateway; none of them identifies a tenant. All workers of a gateway are in one answer."""

from collections import Counter

from artcafe_common.bus.client import Bus
from artcafe_common.latency import LatencyHistogram
from artcafe_common.metrics.declaration import counter, gauge, histogram
from artcafe_common.metrics.process import ProcessMetrics
from artcafe_common.metrics.registry import merge_workers, render
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.delivery.client_keys import ClientKeys, SignatureResult
from artcafe_gateway.limits.handshake_limiter import HandshakeLimiter
from artcafe_gateway.reporting.presence import MAX_QUEUED_EVENTS, PresenceReporter
from artcafe_gateway.reporting.usage import MAX_PENDING_BATCHES, UsageRecorder
from artcafe_gateway.session_registry import SessionRegistry
from artcafe_gateway.settings import Settings
from artcafe_gateway.worker_metrics import WorkerExchange

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
OTHER_METHOD, NO_ROUTE = "other", "none"
# The kinds of the owners of sessions, and what they are called here.
_KINDS = {"client": "client", "agent": "agent", "user": "dashboard"}

REQUESTS = counter("artcafe_http_requests_total", "REST requests", "method", "route", "status")
REQUEST_SECONDS = histogram("artcafe_http_request_seconds", "Duration of REST requests", "route")
WEBSOCKETS = gauge("artcafe_websockets", "Open WebSockets", "kind")
WEBSOCKETS_OPENED = counter("artcafe_websockets_opened_total", "WebSockets that authenticated", "kind")
SLOW_CONSUMERS = counter(
    "artcafe_websocket_slow_consumers_total", "WebSockets closed as slow consumers", "kind"
)
SEND_QUEUE_BYTES = gauge("artcafe_websocket_send_queue_bytes", "Unsent bytes of all WebSockets")
SEND_QUEUE_MAX_BYTES = gauge(
    "artcafe_websocket_send_queue_max_bytes", "Unsent bytes of the slowest WebSocket"
)
SEND_QUEUE_LIMIT_BYTES = gauge(
    "artcafe_websocket_send_queue_limit_bytes", "At more unsent bytes, a WebSocket is closed"
)
HANDSHAKES = gauge("artcafe_websocket_handshakes", "WebSocket logins, `running` or `waiting`", "state")
HANDSHAKES_LIMIT = gauge("artcafe_websocket_handshakes_limit", "How many logins run at the same time at most")
PUBLISHED = counter("artcafe_messages_published_total", "Messages of WebSocket and REST that the broker has")
PUBLISHED_BYTES = counter("artcafe_message_bytes_published_total", "Bytes of these messages")
DELIVERED = counter("artcafe_messages_delivered_total", "Messages sent to WebSockets of clients")
DELIVERED_BYTES = counter("artcafe_message_bytes_delivered_total", "Bytes of these messages")
HEARTBEATS = counter("artcafe_heartbeats_total", "Heartbeats over WebSocket")
USAGE_BATCHES = counter(
    "artcafe_usage_batches_total", "Batches of usage counts: `published`, `deferred`, `dropped`", "result"
)
PRESENCE_EVENTS_DROPPED = counter(
    "artcafe_presence_events_dropped_total", "Connection and activity events that did not fit into the queue"
)
BRIDGES = gauge("artcafe_bridges", "Bridges (NATS connections into tenant accounts)", "state")
BRIDGE_SUBSCRIPTIONS = gauge("artcafe_bridge_subscriptions", "NATS subscriptions of all bridges")
BRIDGE_PENDING_BYTES = gauge("artcafe_bridge_pending_bytes", "Bytes of all bridges waiting for the broker")
BRIDGE_MAX_PENDING_BYTES = gauge("artcafe_bridge_pending_max_bytes", "Bytes of the slowest bridge")
MESSAGE_SIGNATURES = counter(
    "artcafe_message_signatures_total",
    "Signatures of clients on direct NATS messages: `verified`, `invalid`, `expired`, `unknown_client`, `limited`",
    "result",
)
WORKERS = gauge("artcafe_gateway_workers", "Worker processes that this gateway should have")

GATEWAY_METRICS = (
    *(REQUESTS, REQUEST_SECONDS, WEBSOCKETS, WEBSOCKETS_OPENED, SLOW_CONSUMERS),
    *(SEND_QUEUE_BYTES, SEND_QUEUE_MAX_BYTES, SEND_QUEUE_LIMIT_BYTES, HANDSHAKES, HANDSHAKES_LIMIT),
    *(PUBLISHED, PUBLISHED_BYTES, DELIVERED, DELIVERED_BYTES, HEARTBEATS, USAGE_BATCHES),
    *(PRESENCE_EVENTS_DROPPED, BRIDGES, BRIDGE_SUBSCRIPTIONS, BRIDGE_PENDING_BYTES),
    *(BRIDGE_MAX_PENDING_BYTES, MESSAGE_SIGNATURES, WORKERS),
)


class Metrics:
    """The metrics of one gateway process; `render` adds those of its other workers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._request_seconds: dict[str, LatencyHistogram] = {}
        self._slow_consumers: Counter[str] = Counter()
        self.process = ProcessMetrics("gateway", settings.revision)
        self.workers = WorkerExchange(self.process.registry.collect)
        self.process.registry.register_all(
            {
                REQUESTS: lambda: self._requests,
                REQUEST_SECONDS: lambda: self._request_seconds,
                SLOW_CONSUMERS: lambda: {kind: self._slow_consumers[kind] for kind in _KINDS.values()},
                SEND_QUEUE_LIMIT_BYTES: lambda: settings.send_queue_bytes,
                WORKERS: lambda: settings.worker_count,
            }
        )

    def record_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one REST request; `route` is the template of its path, empty if there is none."""
        # The peer chooses the method, so an unknown one has no label of its own.
        method, route = method if method in METHODS else OTHER_METHOD, route or NO_ROUTE
        self._requests[method, route, str(status)] += 1
        durations = self._request_seconds.get(route)
        if durations is None:
            durations = self._request_seconds[route] = LatencyHistogram()
        durations.observe(seconds)

    def record_slow_consumer(self, owner: str) -> None:
        """Count a WebSocket that was closed as a slow consumer."""
        self._slow_consumers[_kind(owner)] += 1

    async def render(self) -> bytes:
        """The metrics of all workers in Prometheus' text format."""
        own = self.process.registry.collect()
        others = await self.workers.collect_others()
        if others is None:
            return render(own)
        return render(merge_workers({self.workers.name: own, **others}))

    def observe(
        self,
        *,
        bus: Bus,
        redis: RedisClient,
        sessions: SessionRegistry,
        bridges: BridgePool,
        client_keys: ClientKeys,
        presence: PresenceReporter,
        usage: UsageRecorder,
        handshakes: HandshakeLimiter,
    ) -> None:
        """Register the metrics of the gateway's parts."""
        self.process.add_bus(bus)
        self.process.add_stores(redis=redis.statistics)
        self.process.add_queue("usage_batches", lambda: (usage.pending_count, MAX_PENDING_BATCHES))
        self.process.add_queue("presence_events", lambda: (presence.queued_count, MAX_QUEUED_EVENTS))
        self._observe_sockets(sessions, handshakes)
        self.process.registry.register_all(
            {
                PUBLISHED: lambda: usage.totals.messages,
                PUBLISHED_BYTES: lambda: usage.totals.bytes_in,
                DELIVERED: lambda: usage.totals.deliveries,
                DELIVERED_BYTES: lambda: usage.totals.bytes_out,
                USAGE_BATCHES: lambda: usage.results,
                HEARTBEATS: lambda: presence.heartbeat_count,
                MESSAGE_SIGNATURES: lambda: {
                    each.value: client_keys.results[each] for each in SignatureResult
                },
                PRESENCE_EVENTS_DROPPED: lambda: presence.dropped_count,
                BRIDGES: lambda: Counter(each.state.value for each in bridges.open_bridges),
                BRIDGE_SUBSCRIPTIONS: lambda: sum(each.subscription_count for each in bridges.open_bridges),
                BRIDGE_PENDING_BYTES: lambda: sum(each.pending_bytes for each in bridges.open_bridges),
                BRIDGE_MAX_PENDING_BYTES: lambda: max(
                    (each.pending_bytes for each in bridges.open_bridges), default=0
                ),
            }
        )

    def _observe_sockets(self, sessions: SessionRegistry, handshakes: HandshakeLimiter) -> None:
        def backlogs() -> list[int]:
            return [each.socket.send_queue.backlog for each in sessions.all()]

        self.process.registry.register_all(
            {
                WEBSOCKETS: lambda: {
                    **dict.fromkeys(_KINDS.values(), 0),
                    **Counter(_kind(each.owner) for each in sessions.all()),
                },
                WEBSOCKETS_OPENED: lambda: {
                    kind: sessions.opened.get(owner, 0) for owner, kind in _KINDS.items()
                },
                SEND_QUEUE_BYTES: lambda: sum(backlogs()),
                SEND_QUEUE_MAX_BYTES: lambda: max(backlogs(), default=0),
                HANDSHAKES: lambda: {
                    "running": handshakes.running_count,
                    "waiting": handshakes.waiting_count,
                },
                HANDSHAKES_LIMIT: lambda: self._settings.max_concurrent_handshakes,
            }
        )


def _kind(owner: str) -> str:
    return _KINDS[owner.partition(":")[0]]
