"""Contract of gateway: the requests between its processes, and those of presence."""

from datetime import datetime
from enum import StrEnum

import msgspec

from artcafe_common.bus.command import Signal


class ChannelSubscribersRequested(Signal, frozen=True, kw_only=True):
    """Asks every gateway process for the clients that subscribe to a channel over its WebSockets."""

    subject = "artcafe.gateway.listeners"
    publishers = ("gateway",)
    tenant_id: str
    channel_id: str


class CloseReason(StrEnum):
    """Why connections must end.

    plan_limit: they are over the plan's number. connection_ended: an admin ends them; their clients may connect again.
    """

    PLAN_LIMIT = "plan_limit"
    CONNECTION_ENDED = "connection_ended"


class CloseConnections(Signal, frozen=True, kw_only=True):
    """Asks every gateway process to close those of the WebSockets that it serves."""

    subject = "artcafe.gateway.connections.close"
    publishers = ("presence",)
    tenant_id: str
    connection_ids: list[str]
    reason: CloseReason = CloseReason.PLAN_LIMIT


class SentError(msgspec.Struct, frozen=True, kw_only=True):
    """An error that was sent to a client."""

    code: str
    at: datetime


class SocketDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway knows of a WebSocket or an event stream; `subscriptions` are some of `subscription_count`.

    `idle_s` is since anything was received; `queued_bytes` wait to be sent; `errors` are the last ones that were sent.
    """

    connection_id: str
    idle_s: float
    queued_bytes: int
    subscription_count: int
    subscriptions: list[str] = []
    errors: list[SentError] = []


class ConnectionDetailsRequested(Signal, frozen=True, kw_only=True):
    """Asks every gateway process for the details of a client's WebSockets."""

    subject = "artcafe.gateway.connections.inspect"
    publishers = ("gateway",)
    tenant_id: str
    client_id: str


class ConnectionDetailsReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of one process, with at most 50 sockets."""

    instance: str
    sockets: list[SocketDetails]


class ChannelSubscribersReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of one process: the number of subscribed sockets by client id."""

    instance: str
    clients: dict[str, int]


class TenantTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """An organization's sockets at one process now, and its totals there since the process started."""

    tenant_id: str
    sockets: int = 0
    unsent_bytes: int = 0
    messages: int = 0
    deliveries: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    api_calls: int = 0
    slow_consumers: int = 0


class GatewayTrafficRequested(Signal, frozen=True, kw_only=True):
    """Asks every gateway process for its traffic, with at most `limit` organizations."""

    subject = "artcafe.gateway.traffic"
    publishers = ("admin",)
    limit: int = 200


class GatewayTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic of one gateway process, and of the organizations that were active there last."""

    instance: str
    server_id: str
    worker: str = ""
    total: TenantTraffic
    tenants: list[TenantTraffic]
