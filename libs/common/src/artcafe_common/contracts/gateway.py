"""Contract of gateway: the requests between its processes."""

import msgspec

from artcafe_common.bus.command import Signal


class ChannelSubscribersRequested(Signal, frozen=True, kw_only=True):
    """Asks every gateway process for the clients that subscribe to a channel over its WebSockets."""

    subject = "artcafe.gateway.listeners"
    publishers = ("gateway",)
    tenant_id: str
    channel_id: str


class ChannelSubscribersReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of one process: the number of subscribed sockets by client id."""

    instance: str
    clients: dict[str, int]
