"""Prometheus metrics of this process; none of them identifies a tenant."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from artcafe_gateway.bridges.pool import BridgePool


class Metrics:
    """A registry with the gateway's metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "artcafe_http_requests", "REST requests", ["method", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "artcafe_http_request_seconds", "Duration of REST requests", registry=self._registry
        )
        self.slow_consumers = Counter(
            "artcafe_websocket_slow_consumers",
            "WebSockets closed as slow consumers",
            registry=self._registry,
        )
        self._sockets = Gauge("artcafe_websockets", "Open WebSockets", registry=self._registry)
        self._bridges = Gauge(
            "artcafe_bridges", "Open bridges (NATS connections into tenant accounts)", registry=self._registry
        )
        self._tasks = Gauge("artcafe_asyncio_tasks", "Running asyncio tasks", registry=self._registry)
        self._subscriptions = Gauge(
            "artcafe_bridge_subscriptions", "NATS subscriptions of all bridges", registry=self._registry
        )

    def render(self, *, sockets: int, bridges: BridgePool) -> bytes:
        """Returns the metrics in the text exposition format."""
        self._sockets.set(sockets)
        self._tasks.set(len(asyncio.all_tasks()))
        self._bridges.set(len(bridges.open_bridges))
        self._subscriptions.set(sum(bridge.subscription_count for bridge in bridges.open_bridges))
        return generate_latest(self._registry)
