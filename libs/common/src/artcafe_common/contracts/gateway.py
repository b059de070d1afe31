"""gateway: what its processes ask of each other."""

import msgspec

from artcafe_common.bus.command import Signal


class ChannelSubscribersRequested(Signal, frozen=True, kw_only=True):
    """Every gateway process tells who listens to a channel over its WebSockets."""

    subject = "artcafe.gateway.listeners"
    publishers = ("gateway",)
    tenant_id: str
    channel_id: str


class ChannelSubscribersReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one process: client ids, each with its number of sockets that listen."""

    instance: str
    clients: dict[str, int]
