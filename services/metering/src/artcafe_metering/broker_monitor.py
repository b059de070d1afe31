"""Reads the state of the broker from time to time, for the metrics and for the operator."""

import time

import structlog
from nats.aio.client import Client as Nats

from artcafe_common.broker.server_report import (
    MAX_EXAMPLES,
    JetStream,
    ServerStatistics,
    Stream,
    problems_of,
    read_jetstream,
    read_statistics,
)
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.clock import now
from artcafe_common.contracts.broker import (
    BrokerReport,
    BrokerServer,
    ConsumerState,
    StreamState,
    TenantStreams,
)

# A report that is this old is read again when somebody asks for it.
MAX_AGE_S = 5.0
STATISTICS_RETRY_S = 60.0
log = structlog.get_logger()


class BrokerMonitor:
    """Holds the last report; None until the first one was read."""

    def __init__(self, system: Nats, platform_account: str, stream_replicas: int = 1) -> None:
        self._stream_replicas = stream_replicas
        self._system = system
        self._platform_account = platform_account
        # When statistics are asked for again after there were none, in `time.monotonic()`.
        self._statistics_at = 0.0
        self.report: BrokerReport | None = None

    async def read(self) -> None:
        """Read the state of all servers and streams. Raises ServiceUnavailable."""
        by_server, streams = await read_jetstream(self._system)
        _, platform = await read_jetstream(self._system, account=self._platform_account)
        statistics = await self._read_statistics()
        tenants = [each for each in streams if each.account != self._platform_account]
        headless, incomplete = problems_of(tenants)
        others = [each for each in tenants if each.replicas != self._stream_replicas]
        self.report = BrokerReport(
            read_at=now(),
            servers=[
                _server(name, by_server.get(name), statistics.get(name))
                for name in {**by_server, **statistics}
            ],
            streams=[_stream(each) for each in platform],
            tenant_streams=TenantStreams(
                total=len(tenants),
                without_leader=len(headless),
                missing_replica=len(incomplete),
                examples=[f"{each.account}/{each.name}" for each in (*headless, *incomplete)[:MAX_EXAMPLES]],
                other_replicas=len(others),
                other_examples=[f"{each.account}/{each.name}" for each in others[:MAX_EXAMPLES]],
            ),
            stream_replicas=self._stream_replicas,
        )

    async def current(self) -> BrokerReport:
        """A report that is at most MAX_AGE_S old. Raises ServiceUnavailable."""
        if self.report is None or (now() - self.report.read_at).total_seconds() > MAX_AGE_S:
            await self.read()
        if self.report is None:
            raise ServiceUnavailable("the broker's state was not read")
        return self.report

    async def _read_statistics(self) -> dict[str, ServerStatistics]:
        if time.monotonic() < self._statistics_at:
            return {}
        try:
            return await read_statistics(self._system)
        except ServiceUnavailable:
            # The servers replied a moment ago: they are restarting, or these credentials are of an earlier release.
            self._statistics_at = time.monotonic() + STATISTICS_RETRY_S
            log.warning("broker_statistics_unavailable", remedy="artcafe bootstrap --renew")
            return {}


def _server(name: str, jetstream: JetStream | None, statistics: ServerStatistics | None) -> BrokerServer:
    store = jetstream or JetStream()
    traffic = statistics.statistics if statistics else None
    meta = store.meta_cluster
    return BrokerServer(
        name=name,
        version=statistics.version if statistics else "",
        connections=traffic.connections if traffic else 0,
        subscriptions=traffic.subscriptions if traffic else 0,
        slow_consumers=traffic.slow_consumers if traffic else 0,
        memory_bytes=traffic.mem if traffic else 0,
        messages_in=traffic.received.msgs if traffic else 0,
        messages_out=traffic.sent.msgs if traffic else 0,
        bytes_in=traffic.received.bytes if traffic else 0,
        bytes_out=traffic.sent.bytes if traffic else 0,
        storage_bytes=store.storage,
        storage_reserved_bytes=store.reserved_storage,
        storage_limit_bytes=store.config.max_storage,
        api_calls=store.api.total,
        api_errors=store.api.errors,
        meta_leader=meta.leader if meta else "",
        cluster_size=meta.cluster_size if meta else 1,
    )


def _stream(stream: Stream) -> StreamState:
    return StreamState(
        name=stream.name,
        replicas=stream.replicas,
        replicas_current=stream.replicas_current,
        has_leader=stream.leader,
        messages=stream.messages,
        bytes=stream.bytes,
        max_bytes=stream.max_bytes,
        consumers=[
            ConsumerState(
                name=each.name,
                pending=each.num_pending,
                ack_pending=each.num_ack_pending,
                redelivered=each.num_redelivered,
            )
            for each in stream.consumers
        ],
    )
