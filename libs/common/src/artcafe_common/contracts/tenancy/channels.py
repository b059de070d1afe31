"""Channels and their subscribers."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError, InvalidCursor
from artcafe_common.contracts.tenancy.fields import (
    Description,
    DisplayName,
    Metadata,
    NameTaken,
    PlanLimitReached,
)
from artcafe_common.contracts.tenancy.list_query import ListQuery


class ChannelNotFound(CommandError):
    """The organization has no channel with this id or name."""

    status = 404
    code = "channel_not_found"
    title = "The channel was not found"
    remedy = "Check the id with `GET /api/v1/channels`, or create the channel."


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A named topic; `subject` is where its messages travel."""

    channel_id: str
    tenant_id: str
    name: str
    description: str
    subject: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """A page of channels."""

    channels: list[Channel]
    next_cursor: str | None


class CreateChannel(Command[Channel], frozen=True, kw_only=True):
    """Open a channel in the caller's tenant."""

    subject = "artcafe.tenancy.channel.create"
    raises = (NameTaken, PlanLimitReached)
    name: DisplayName
    description: Description = ""
    metadata: Metadata = {}


class ListChannels(ListQuery[Channels], frozen=True, kw_only=True):
    """The channels of the caller's tenant."""

    subject = "artcafe.tenancy.channel.list"


class GetChannel(Query[Channel], frozen=True, kw_only=True):
    """One channel of the caller's tenant."""

    subject = "artcafe.tenancy.channel.get"
    raises = (ChannelNotFound,)
    channel_id: str


class UpdateChannel(Command[Channel], frozen=True, kw_only=True):
    """Change what is given of a channel; its id and subject stay."""

    subject = "artcafe.tenancy.channel.update"
    raises = (ChannelNotFound, NameTaken)
    channel_id: str
    name: DisplayName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteChannel(Command[Channel], frozen=True, kw_only=True):
    """Close a channel."""

    subject = "artcafe.tenancy.channel.delete"
    raises = (ChannelNotFound,)
    channel_id: str


class ChannelSubscriber(msgspec.Struct, frozen=True, kw_only=True):
    """A client that listens to a channel over so many WebSockets now, or that did so before.

    `subscribed_at` is when it was last recorded, once a day at most; None when it is not recorded yet.
    """

    client_id: str
    connections: int
    subscribed_at: datetime | None


class ChannelSubscribers(msgspec.Struct, frozen=True, kw_only=True):
    """A page of subscribers, by client id."""

    subscribers: list[ChannelSubscriber]
    next_cursor: str | None


class ListChannelSubscribers(ListQuery[ChannelSubscribers], frozen=True, kw_only=True):
    """Who subscribes to a channel: those recorded, and those in `live` (client id: connections)."""

    subject = "artcafe.tenancy.channel.subscribers"
    raises = (ChannelNotFound, InvalidCursor)
    channel_id: str
    live: dict[str, int] = {}
