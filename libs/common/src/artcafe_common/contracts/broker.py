"""Metering's report on the broker: its servers, and the streams that they store."""

from datetime import datetime

import msgspec


class BrokerServer(msgspec.Struct, frozen=True, kw_only=True):
    """One nats-server. The storage is that of JetStream on disk; messages and bytes count since its start."""

    name: str
    version: str = ""
    connections: int = 0
    subscriptions: int = 0
    slow_consumers: int = 0
    memory_bytes: int = 0
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    storage_bytes: int = 0
    storage_reserved_bytes: int = 0
    storage_limit_bytes: int = 0
    api_calls: int = 0
    api_errors: int = 0
    # The leader of the cluster's metadata; empty on a single server.
    meta_leader: str = ""
    cluster_size: int = 1


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    """A durable consumer: `pending` messages were not delivered yet, `ack_pending` not acknowledged."""

    name: str
    pending: int = 0
    ack_pending: int = 0
    redelivered: int = 0


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of the platform's account; `replicas_current` counts those that are up to date, the leader included."""

    name: str
    replicas: int = 1
    replicas_current: int = 1
    has_leader: bool = True
    messages: int = 0
    bytes: int = 0
    max_bytes: int = 0
    consumers: list[ConsumerState] = []


class TenantStreams(msgspec.Struct, frozen=True, kw_only=True):
    """The streams of all organizations together; `examples` names some of those with a problem.

    `other_replicas` counts those with another number of replicas than the installation's.
    """

    total: int = 0
    without_leader: int = 0
    missing_replica: int = 0
    examples: list[str] = []
    other_replicas: int = 0
    other_examples: list[str] = []


class BrokerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the broker as one instance of metering read it at `read_at`.

    `stream_replicas` is the installation's number of replicas, as metering has it; 0 if it does not say.
    """

    read_at: datetime
    servers: list[BrokerServer] = []
    streams: list[StreamState] = []
    tenant_streams: TenantStreams = TenantStreams()
    stream_replicas: int = 0
