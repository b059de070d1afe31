"""What this process tells Prometheus; nothing in it names a tenant."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from artcafe_gateway.bridges.pool import BridgePool


class Metrics:
    """The gateway's own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "artcafe_http_requests", "REST calls", ["method", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "artcafe_http_request_seconds", "Time to answer a REST call", registry=self._registry
        )
        self.slow_consumers = Counter(
            "artcafe_websocket_slow_consumers",
            "WebSockets closed because they did not keep up",
            registry=self._registry,
        )
        self._sockets = Gauge("artcafe_websockets", "Open WebSockets", registry=self._registry)
        self._bridges = Gauge(
            "artcafe_bridges", "Connections into tenants' accounts", registry=self._registry
        )
        self._tasks = Gauge("artcafe_asyncio_tasks", "Tasks of the event loop", registry=self._registry)
        self._subjects = Gauge(
            "artcafe_bridge_subscriptions", "NATS subscriptions on them", registry=self._registry
        )

    def render(self, *, sockets: int, bridges: BridgePool) -> bytes:
        """The text exposition format."""
        self._sockets.set(sockets)
        self._tasks.set(len(asyncio.all_tasks()))
        self._bridges.set(len(bridges.open_bridges))
        self._subjects.set(sum(bridge.subscription_count for bridge in bridges.open_bridges))
        return generate_latest(self._registry)
