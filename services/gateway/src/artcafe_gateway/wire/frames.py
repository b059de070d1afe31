"""The WebSocket protocol's frames, as they are on the wire (JSON text)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from artcafe_common.contracts.tenancy.activity import Activity

MAX_ID = 128
# Beyond 64 bits most peers cannot read a number back as they sent it.
MAX_NUMBER = 2**63 - 1
FrameId = Annotated[str, Meta(max_length=MAX_ID)] | Annotated[int, Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Text = Annotated[str, Meta(max_length=512)]
Free = dict[str, Any]
Since = Annotated[str, Meta(min_length=1, max_length=64)] | Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Last = Annotated[int, Meta(ge=0, le=10_000)]


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What a peer sends; fields that are not known are ignored."""


# -- client → server ---------------------------------------------------------------------------


class Auth(Frame, frozen=True, kw_only=True, tag="auth"):
    """The answer to a challenge: the key, and its signature of the nonce's bytes in base64url."""

    nkey: Text
    signature: Text


class Heartbeat(Frame, frozen=True, kw_only=True, tag="heartbeat"):
    """A sign of life."""

    timestamp: Any = None
    status: Text | None = None
    metrics: Free | None = None


class Ping(Frame, frozen=True, kw_only=True, tag="ping"):
    """Asks for a pong."""


class Subscribe(Frame, frozen=True, kw_only=True, tag="subscribe"):
    """Asks for the messages of a subject (wildcards allowed) or a channel.

    Of a channel also for those that were kept: the `last` so many, or all `since` a time or a `seq`.
    """

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    since: Since | None = None
    last: Last | None = None


class Unsubscribe(Frame, frozen=True, kw_only=True, tag="unsubscribe"):
    """Ends a subscription."""

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None


class Publish(Frame, frozen=True, kw_only=True, tag="publish"):
    """Sends a message; with an `id` it is acknowledged once the broker has it."""

    data: Raw
    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None
    headers: dict[str, str] | None = None


class Request(Frame, frozen=True, kw_only=True, tag="request"):
    """Sends a message and asks for one reply within `timeout_ms`."""

    subject: str
    data: Raw
    id: FrameId
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] = 5_000


class Presence(Frame, frozen=True, kw_only=True, tag="presence"):
    """What a client tells of itself."""

    status: Text | None = None
    capabilities: Any = None
    metadata: Free | None = None


# -- dashboard → server ------------------------------------------------------------------------


class SubscribeChannel(Frame, frozen=True, kw_only=True, tag="subscribe_channel"):
    """Asks for a channel's messages."""

    channel_id: Text
    id: FrameId | None = None


class UnsubscribeChannel(Frame, frozen=True, kw_only=True, tag="unsubscribe_channel"):
    """Ends it."""

    channel_id: Text
    id: FrameId | None = None


class SubscribeTopicPreview(Frame, frozen=True, kw_only=True, tag="subscribe_topic_preview"):
    """Asks for a look at everything that flows; `sample` is the share of messages to show."""

    pattern: str | None = None
    sample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    id: FrameId | None = None


class UnsubscribeTopicPreview(Frame, frozen=True, kw_only=True, tag="unsubscribe_topic_preview"):
    """Ends it."""

    id: FrameId | None = None


# -- server → client ---------------------------------------------------------------------------


class Out(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What the server sends; absent fields are left out."""


class Challenge(Out, frozen=True, kw_only=True, tag="challenge"):
    """A nonce to sign, for this connection only."""

    nonce: str


class Welcome(Out, frozen=True, kw_only=True, tag="welcome"):
    """The connection is authenticated."""

    connection_id: str
    tenant_id: str
    server_id: str
    heartbeat_interval_s: int
    client_id: str | None = None
    user_id: str | None = None
    protocol: int = msgspec.field(default_factory=lambda: 1)


class Problem(Out, frozen=True, kw_only=True, tag="error"):
    """Something was refused; `code` is stable, `id` that of the frame it answers."""

    code: str
    message: str
    id: FrameId | None = None
    retry_after_ms: int | None = None


class HeartbeatAck(Out, frozen=True, kw_only=True, tag="heartbeat_ack"):
    """Answers a heartbeat."""

    timestamp: datetime


class Pong(Out, frozen=True, kw_only=True, tag="pong"):
    """Answers a ping."""

    timestamp: datetime


class Subscribed(Out, frozen=True, kw_only=True, tag="subscribed"):
    """From here on messages arrive."""

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None


class Unsubscribed(Out, frozen=True, kw_only=True, tag="unsubscribed"):
    """None arrive any more."""

    subject: str | None = None
    channel: str | None = None
    id: FrameId | None = None


class Published(Out, frozen=True, kw_only=True, tag="published"):
    """The broker has the message; `seq` is its place in the channel's history, where one is kept."""

    id: FrameId
    seq: int | None = None


class SubscriptionConfirmed(Out, frozen=True, kw_only=True, tag="subscription_confirmed"):
    """Answers a dashboard's subscription."""

    subscription: str
    channel_id: str | None = None
    pattern: str | None = None
    id: FrameId | None = None


class UnsubscriptionConfirmed(Out, frozen=True, kw_only=True, tag="unsubscription_confirmed"):
    """Answers its end."""

    subscription: str
    channel_id: str | None = None
    id: FrameId | None = None


class ActivityShown(Out, frozen=True, kw_only=True, tag="activity"):
    """A new entry of the activity log."""

    activity: Activity


class PresenceShown(Out, frozen=True, kw_only=True, tag="presence"):
    """A client came or went."""

    client_id: str
    status: str
    last_seen: datetime


# -- server → client, as delivery.py and the sessions write them -----------------------------------


class Message(Out, frozen=True, kw_only=True, tag="message"):
    """A message of a subscription; `channel` is there for a channel's, `reply` where an answer is asked for."""

    subject: str
    data: Any
    timestamp: datetime
    channel: str | None = None
    reply: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    seq: int | None = None


class Reply(Out, frozen=True, kw_only=True, tag="reply"):
    """The answer to a request."""

    id: FrameId
    data: Any


class ChannelMessage(Out, frozen=True, kw_only=True, tag="channel_message"):
    """A message of a channel, shown to a dashboard."""

    channel_id: str
    data: Any
    timestamp: datetime
    from_: str | None = msgspec.field(name="from", default=None)
    seq: int | None = None


class TopicPreviewMessage(Out, frozen=True, kw_only=True, tag="topic_preview_message"):
    """A message that flows, shown to a dashboard; `dropped` says how many were left out before it."""

    subject: str
    data: Any
    size: int
    timestamp: datetime
    dropped: int | None = None
    from_: str | None = msgspec.field(name="from", default=None)
