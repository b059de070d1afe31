"""Channels and their subscribers."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.bus.errors import CommandError, InvalidCursor
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import (
    Description,
    DisplayName,
    Metadata,
    NamePart,
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
    """A channel; its messages are published on `subject`, and stored if it `has_history`.

    The messages up to `purged_seq` were deleted at `purged_at`, if it was purged.
    """

    channel_id: str
    tenant_id: str
    name: str
    description: str
    subject: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    has_history: bool = False
    purged_seq: int = 0
    purged_at: datetime | None = None


class Channels(msgspec.Struct, frozen=True, kw_only=True):
    """A page of channels."""

    channels: list[Channel]
    next_cursor: str | None


class CreateChannel(Command[Channel], frozen=True, kw_only=True):
    """Create a channel in the caller's organization."""

    subject = "artcafe.tenancy.channel.create"
    raises = (NameTaken, PlanLimitReached)
    name: DisplayName
    description: Description = ""
    metadata: Metadata = {}


class ListChannels(ListQuery[Channels], frozen=True, kw_only=True):
    """List the channels of the caller's organization, optionally those whose name contains a text.

    Upper and lower case are equal in `name`. A page of a search may be short or empty without being the last.
    """

    subject = "artcafe.tenancy.channel.list"
    name: NamePart | None = None


class GetChannel(Query[Channel], frozen=True, kw_only=True):
    """Get a channel of the caller's organization, by its id or its name."""

    subject = "artcafe.tenancy.channel.get"
    raises = (ChannelNotFound,)
    channel_id: str


class UpdateChannel(ConditionalCommand[Channel], frozen=True, kw_only=True):
    """Update the given fields of a channel; its id and subject do not change."""

    subject = "artcafe.tenancy.channel.update"
    raises = (ChannelNotFound, NameTaken, PreconditionFailed)
    channel_id: str
    name: DisplayName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class DeleteChannel(ConditionalCommand[Channel], frozen=True, kw_only=True):
    """Delete a channel with its history."""

    subject = "artcafe.tenancy.channel.delete"
    raises = (ChannelNotFound, PreconditionFailed)
    channel_id: str


class PurgeChannel(Command[Channel], frozen=True, kw_only=True):
    """Delete the stored messages of a channel. A subscriber that resumes from one of them gets a `gap`."""

    subject = "artcafe.tenancy.channel.purge"
    raises = (ChannelNotFound,)
    idempotent = True
    channel_id: str


class ChannelSubscriber(msgspec.Struct, frozen=True, kw_only=True):
    """A client that subscribes to a channel over `connections` WebSockets, or did so earlier.

    `subscribed_at` is when a subscription was last recorded, at most once a day; null if none is recorded yet.
    """

    client_id: str
    connections: int
    subscribed_at: datetime | None


class ChannelSubscribers(msgspec.Struct, frozen=True, kw_only=True):
    """A page of subscribers, in the order of their client ids."""

    subscribers: list[ChannelSubscriber]
    next_cursor: str | None


class ListChannelSubscribers(ListQuery[ChannelSubscribers], frozen=True, kw_only=True):
    """List the subscribers of a channel: the recorded ones, and those in `live` (connections by client id)."""

    subject = "artcafe.tenancy.channel.subscribers"
    raises = (ChannelNotFound, InvalidCursor)
    channel_id: str
    live: dict[str, int] = {}
