"""REST routes: what a channel stores, and its deletion."""

from datetime import datetime, timedelta

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from artcafe_common.clock import now
from artcafe_common.contracts.tenancy.channels import Channel, GetChannel, PurgeChannel
from artcafe_common.contracts.tenancy.history import MESSAGES_PER_CHANNEL
from artcafe_gateway.errors import BrokerUnavailable, HistoryUnavailable
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.stream import summarize
from artcafe_gateway.http.auth import TenantUser
from artcafe_gateway.http.request import validate_id


class ChannelStorage(msgspec.Struct, frozen=True, kw_only=True):
    """The stored messages of a channel: how many, also of the last minute, the oldest and the newest.

    The broker does not count their bytes.

    Of more than `max_messages`, the oldest are removed, as are those older than 7 days. Without a history,
    `has_history` is false.
    """

    channel_id: str
    has_history: bool
    messages: int = 0
    last_minute: int = 0
    max_messages: int = MESSAGES_PER_CHANNEL
    first_seq: int | None = None
    last_seq: int | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None


class ChannelStorageController(Controller):
    """Named channels. All messages of a channel, over REST, WebSocket or NATS, use its `subject`."""

    path = "/channels/{channel_id:str}"
    tags = ["channels"]

    @get(
        "/storage",
        summary="Count a channel's stored messages",
        commands=[GetChannel],
        errors=[BrokerUnavailable, HistoryUnavailable],
    )
    async def storage(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> ChannelStorage:
        channel = await gateway.lookup_cache.channel(validate_id(channel_id), tenant_user.caller)
        if not channel.has_history:
            return ChannelStorage(channel_id=channel.channel_id, has_history=False)
        bridge = await gateway.bridges.acquire(tenant_user.caller.tenant_id)
        try:
            found = await summarize(bridge, channel.subject, now() - timedelta(minutes=1))
        finally:
            gateway.bridges.release(bridge)
        if found is None:
            return ChannelStorage(channel_id=channel.channel_id, has_history=True)
        return ChannelStorage(
            channel_id=channel.channel_id,
            has_history=True,
            messages=found.count,
            last_minute=found.recent,
            first_seq=found.oldest.seq,
            last_seq=found.newest.seq,
            first_at=found.oldest.timestamp,
            last_at=found.newest.timestamp,
        )

    @post(
        "/purge",
        status_code=200,
        summary="Delete a channel's stored messages",
        commands=[PurgeChannel],
    )
    async def purge(
        self,
        gateway: NamedDependency[Gateway],
        tenant_user: NamedDependency[TenantUser],
        channel_id: FromPath[str],
    ) -> Channel:
        command = PurgeChannel(channel_id=validate_id(channel_id))
        return await gateway.bus.call(command, caller=tenant_user.caller)
