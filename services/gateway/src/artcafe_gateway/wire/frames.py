"""The frames of the WebSocket protocol: JSON objects in text messages."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Raw

from artcafe_common.contracts.presence import ClientHealth, ClientKind
from artcafe_common.contracts.tenancy.activity import Activity
from artcafe_common.contracts.tenancy.clients import ClientStatus

MAX_ID = 128
# Many JSON parsers cannot represent larger integers.
MAX_NUMBER = 2**63 - 1
FrameId = Annotated[str, Meta(max_length=MAX_ID)] | Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
# Ids of messages are header values.
MessageId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID,
        pattern=r"^[!-~]+$(?!\n)",
        description="Printable ASCII characters without spaces",
    ),
]
ShortText = Annotated[str, Meta(max_length=512)]
JsonObject = dict[str, Any]
Since = Annotated[str, Meta(min_length=1, max_length=64)] | Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Last = Annotated[int, Meta(ge=0, le=10_000)]


class ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A frame that a client sends; unknown fields are ignored."""


class RosterEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A client or agent with its presence; `capabilities` and `metadata` are what it announced of itself last.

    While presence does not answer, `status` is the last known one, and the other fields of presence are null.
    """

    client_id: str
    kind: ClientKind
    name: str
    status: ClientStatus
    health: ClientHealth | None
    last_seen: datetime | None
    capabilities: list[Any] | None
    metadata: JsonObject | None


# -- client → server ---------------------------------------------------------------------------


class Auth(ClientFrame, frozen=True, kw_only=True, tag="auth"):
    """Answers a challenge: the client's public NKey, and its signature of the nonce in base64url."""

    nkey: ShortText
    signature: ShortText


class Heartbeat(ClientFrame, frozen=True, kw_only=True, tag="heartbeat"):
    """Keeps the connection alive, and reports the client's status and metrics."""

    timestamp: Any = None
    status: ShortText | None = None
    metrics: JsonObject | None = None


class Ping(ClientFrame, frozen=True, kw_only=True, tag="ping"):
    """Requests a pong."""


class Subscribe(ClientFrame, frozen=True, kw_only=True, tag="subscribe"):
    """Subscribes to a subject (wildcards allowed) or a channel.

    For a channel, stored messages can be replayed first: the `last` N, or all `since` a time or a `seq`. The members
    of a `queue` group share the messages: each goes to one of them.
    """

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    since: Since | None = None
    last: Last | None = None
    queue: str | None = None


class Unsubscribe(ClientFrame, frozen=True, kw_only=True, tag="unsubscribe"):
    """Ends a subscription: the plain one, or that of a `queue` group."""

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    queue: str | None = None


class Publish(ClientFrame, frozen=True, kw_only=True, tag="publish"):
    """Publishes a message; with an `id` it is acknowledged when the broker has received it.

    A message to a channel that is published again with the same `message_id` is stored and delivered once.
    """

    data: Raw
    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    headers: dict[str, str] | None = None
    message_id: MessageId | None = None


class Request(ClientFrame, frozen=True, kw_only=True, tag="request"):
    """Sends a request, and waits for one reply within `timeout_ms`."""

    subject: str
    data: Raw
    id: FrameId
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] = 5_000


class Presence(ClientFrame, frozen=True, kw_only=True, tag="presence"):
    """Reports the client's status, and the capabilities and metadata that the roster shows.

    `capabilities` that are no list are ignored.
    """

    status: ShortText | None = None
    capabilities: Any = None
    metadata: JsonObject | None = None


class ListRoster(ClientFrame, frozen=True, kw_only=True, tag="roster"):
    """Requests a page of the organization's clients and agents, optionally of one status or by part of the name.

    It counts as a REST call. A page may be short or empty without being the last.
    """

    id: FrameId
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=1024)] | None = None
    status: ClientStatus | None = None
    name: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


# -- dashboard → server ------------------------------------------------------------------------


class SubscribeChannel(ClientFrame, frozen=True, kw_only=True, tag="subscribe_channel"):
    """Subscribes to a channel."""

    channel_id: ShortText
    id: FrameId | None = None


class UnsubscribeChannel(ClientFrame, frozen=True, kw_only=True, tag="unsubscribe_channel"):
    """Ends the subscription to a channel."""

    channel_id: ShortText
    id: FrameId | None = None


class SubscribeTopicPreview(ClientFrame, frozen=True, kw_only=True, tag="subscribe_topic_preview"):
    """Requests a preview of the organization's messages; `sample` is the fraction of messages to send."""

    pattern: str | None = None
    sample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    id: FrameId | None = None


class UnsubscribeTopicPreview(ClientFrame, frozen=True, kw_only=True, tag="unsubscribe_topic_preview"):
    """Ends the preview."""

    id: FrameId | None = None


# -- server → client ---------------------------------------------------------------------------


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """A frame that the server sends; fields without a value are omitted.

    `sent_to` names the endpoints on which it is sent: client, agent, dashboard.
    """

    sent_to: ClassVar[tuple[str, ...]] = ("client", "agent")


class Challenge(ServerFrame, frozen=True, kw_only=True, tag="challenge"):
    """Requests authentication: a nonce for the client to sign, valid for this connection."""

    sent_to = ("client",)
    nonce: str


class Welcome(ServerFrame, frozen=True, kw_only=True, tag="welcome"):
    """The connection is authenticated."""

    sent_to = ("client", "agent", "dashboard")
    connection_id: str
    tenant_id: str
    server_id: str
    heartbeat_interval_s: int
    client_id: str | None = None
    user_id: str | None = None
    protocol: int = msgspec.field(default_factory=lambda: 1)


class Error(ServerFrame, frozen=True, kw_only=True, tag="error"):
    """An error; `code` is stable, `id` is the id of the rejected frame, `detail` depends on the code."""

    sent_to = ("client", "agent", "dashboard")
    code: str
    message: str
    id: FrameId | None = None
    retry_after_ms: int | None = None
    detail: JsonObject | None = None


class Reconnect(ServerFrame, frozen=True, kw_only=True, tag="reconnect"):
    """The server closes the connection next, with 1012 or 1013; reconnect after `retry_after_ms`."""

    sent_to = ("client", "agent", "dashboard")
    retry_after_ms: int


class HeartbeatAck(ServerFrame, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """Answers a heartbeat."""

    timestamp: datetime


class Pong(ServerFrame, frozen=True, kw_only=True, tag="pong"):
    """Answers a ping."""

    sent_to = ("client", "agent", "dashboard")
    timestamp: datetime


class Subscribed(ServerFrame, frozen=True, kw_only=True, tag="subscribed"):
    """Confirms a subscription; messages follow. `gap` is true if a `gap` frame follows first.

    With `since` or `last`, `seq` is the number after which the messages follow. `channel_id` is the id of a channel that was
    named by its name.
    """

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    queue: str | None = None
    gap: bool | None = None
    seq: int | None = None
    channel_id: str | None = None


class Gap(ServerFrame, frozen=True, kw_only=True, tag="gap"):
    """Messages of a channel that are not stored any more, and that may be missing before the next `message` of it.

    Both sequence numbers are included.
    """

    channel: str
    from_seq: int
    to_seq: int


class Unsubscribed(ServerFrame, frozen=True, kw_only=True, tag="unsubscribed"):
    """Confirms the end of a subscription; no message of it follows."""

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    queue: str | None = None


class Published(ServerFrame, frozen=True, kw_only=True, tag="published"):
    """Acknowledges a publish; `seq` is the sequence number in the channel's history, always for a channel that has one.

    `duplicate` is true if a message with the same `message_id` was stored before; `seq` is that one's.
    """

    id: FrameId
    seq: int | None = None
    duplicate: bool | None = None


class SubscriptionConfirmed(ServerFrame, frozen=True, kw_only=True, tag="subscription_confirmed"):
    """Confirms a dashboard's subscription."""

    sent_to = ("dashboard",)
    subscription: str
    channel_id: str | None = None
    pattern: str | None = None
    id: FrameId | None = None


class UnsubscriptionConfirmed(ServerFrame, frozen=True, kw_only=True, tag="unsubscription_confirmed"):
    """Confirms the end of a dashboard's subscription."""

    sent_to = ("dashboard",)
    subscription: str
    channel_id: str | None = None
    id: FrameId | None = None


class ActivityEntry(ServerFrame, frozen=True, kw_only=True, tag="activity"):
    """A new entry of the activity log."""

    sent_to = ("dashboard",)
    activity: Activity


class PresenceChange(ServerFrame, frozen=True, kw_only=True, tag="presence"):
    """A client went online or offline; `name` is null if it could not be looked up."""

    sent_to = ("dashboard",)
    client_id: str
    name: str | None
    status: str
    health: ClientHealth
    last_seen: datetime


class RosterPage(ServerFrame, frozen=True, kw_only=True, tag="roster", omit_defaults=False):
    """A page of the organization's clients and agents; the next one begins at `next_cursor`, unless it is null."""

    id: FrameId
    roster: list[RosterEntry]
    next_cursor: str | None


# -- server → client, encoded without these types: by delivery/message.py and sessions/publishing.py


class Message(ServerFrame, frozen=True, kw_only=True, tag="message"):
    """A message of a subscription; `channel` is set for a channel, `reply` when a reply is requested.

    `queue` is set if the message is for that queue group, of which this socket is the member that receives it.
    """

    subject: str
    data: Any
    timestamp: datetime
    channel: str | None = None
    queue: str | None = None
    reply: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    headers: dict[str, str] | None = None
    seq: int | None = None


class Reply(ServerFrame, frozen=True, kw_only=True, tag="reply"):
    """The reply to a request."""

    id: FrameId
    data: Any


class ChannelMessage(ServerFrame, frozen=True, kw_only=True, tag="channel_message"):
    """A message of a channel that a dashboard subscribes to."""

    sent_to = ("dashboard",)
    channel_id: str
    data: Any
    timestamp: datetime
    from_: str | None = msgspec.field(name="from", default=None)
    headers: dict[str, str] | None = None
    seq: int | None = None


class TopicPreviewMessage(ServerFrame, frozen=True, kw_only=True, tag="topic_preview_message"):
    """A message of a preview; `dropped` is the number of messages dropped before it."""

    sent_to = ("dashboard",)
    subject: str
    data: Any
    size: int
    timestamp: datetime
    dropped: int | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    headers: dict[str, str] | None = None
