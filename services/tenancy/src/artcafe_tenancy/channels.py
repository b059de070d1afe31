"""Endpoints of channels."""

from collections.abc import Iterable

import structlog

from artcafe_common import authorization, clock
from artcafe_common.broker.subjects import channel_subject
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.channels import (
    Channel,
    ChannelNotFound,
    Channels,
    CreateChannel,
    DeleteChannel,
    GetChannel,
    ListChannels,
    PurgeChannel,
    UpdateChannel,
)
from artcafe_common.contracts.tenancy.events import ChannelChanged
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import LIMITS
from artcafe_tenancy import metadata, names
from artcafe_tenancy.endpoint_base import EndpointBase, changed_fields, require_found
from artcafe_tenancy.outbox import OutboxEntry, build_entry
from artcafe_tenancy.tables import ChannelItem

log = structlog.get_logger()


class ChannelEndpoints(EndpointBase):
    """Commands of channels."""

    @handles(CreateChannel)
    async def create_channel(self, request: CreateChannel) -> Channel:
        tenant_id = authorization.require_role(Role.MEMBER)
        names.check(request.name)
        metadata.check(request.metadata)
        tenant = await self.get_tenant(tenant_id)
        now = clock.now()
        channel = ChannelItem(
            channel_id=clock.new_id(),
            tenant_id=tenant_id,
            name=request.name,
            description=request.description,
            metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        limit = LIMITS[tenant.plan].channels
        # Before the channel can be used, so that whoever finds it knows whether its messages are stored.
        await self.streams.ensure_history(tenant)
        has_history = await self.streams.has_history(tenant_id)
        await self.store.channels.create(channel, limit, _build_entry(channel, "channel.created"))
        try:
            await self.streams.wait_for_history(tenant)
        except CommandError as error:
            # The ChannelChanged event creates the history later.
            log.warning("channel_history_delayed", tenant_id=tenant_id, reason=error.detail)
        return _to_channel(channel, has_history=has_history)

    @handles(ListChannels)
    async def list_channels(self, request: ListChannels) -> Channels:
        tenant_id = authorization.require_role(Role.VIEWER)
        items, next_cursor = await self.read_page(
            self.store.channels.list, tenant_id, "channels", request, name=request.name
        )
        has_history = await self.streams.has_history(tenant_id)
        channels = [_to_channel(channel, has_history=has_history) for channel in items]
        return Channels(channels=channels, next_cursor=next_cursor)

    @handles(GetChannel)
    async def get_channel(self, request: GetChannel) -> Channel:
        tenant_id = authorization.require_role(Role.VIEWER)
        channel = require_found(
            await self.store.channels.find(tenant_id, request.channel_id), ChannelNotFound
        )
        return _to_channel(channel, has_history=await self.streams.has_history(tenant_id))

    @handles(UpdateChannel)
    async def update_channel(self, request: UpdateChannel) -> Channel:
        tenant_id = authorization.require_role(Role.MEMBER)
        changes = changed_fields(request, key="channel_id")
        has_history = await self.streams.has_history(tenant_id)
        channel = await self.store.channels.update(
            tenant_id,
            request.channel_id,
            changes,
            lambda _, item: _build_entry(item, "channel.updated", changes),
            request.check_version,
        )
        return _to_channel(require_found(channel, ChannelNotFound), has_history=has_history)

    @handles(DeleteChannel)
    async def delete_channel(self, request: DeleteChannel) -> Channel:
        tenant_id = authorization.require_role(Role.MEMBER)
        has_history = await self.streams.has_history(tenant_id)
        channel = await self.store.channels.delete(
            tenant_id,
            request.channel_id,
            lambda item: _build_entry(item, "channel.deleted"),
            request.check_version,
        )
        return _to_channel(require_found(channel, ChannelNotFound), has_history=has_history)

    @handles(PurgeChannel)
    async def purge_channel(self, request: PurgeChannel) -> Channel:
        tenant_id = authorization.require_role(Role.ADMIN)
        before = require_found(await self.store.channels.get(tenant_id, request.channel_id), ChannelNotFound)
        has_history = await self.streams.has_history(tenant_id)
        last_seq = await self.streams.purge_channel(tenant_id, before.channel_id)
        channel = await self.store.channels.update(
            tenant_id,
            before.channel_id,
            lambda item: {"purged_seq": max(item.purged_seq, last_seq), "purged_at": clock.now()},
            lambda _, item: _build_entry(item, "channel.purged"),
            lambda _: None,
        )
        return _to_channel(require_found(channel, ChannelNotFound), has_history=has_history)


def _build_entry(channel: ChannelItem, action: str, changes: Iterable[str] = ()) -> OutboxEntry:
    return build_entry(
        ActivityType.CHANNEL,
        action,
        f"channel:{channel.channel_id}",
        ChannelChanged(
            tenant_id=channel.tenant_id,
            channel_id=channel.channel_id,
            deleted=action == "channel.deleted",
        ),
        metadata={"name": channel.name} | ({"changed": sorted(changes)} if changes else {}),
    )


def _to_channel(channel: ChannelItem, *, has_history: bool) -> Channel:
    return Channel(
        channel_id=channel.channel_id,
        tenant_id=channel.tenant_id,
        name=channel.name,
        description=channel.description,
        subject=channel_subject(channel.tenant_id, channel.channel_id),
        metadata=channel.metadata,
        created_at=channel.created_at,
        updated_at=channel.updated_at,
        has_history=has_history,
        purged_seq=channel.purged_seq,
        purged_at=channel.purged_at,
    )
