"""The frames that a client receives over WebSocket; unknown types and fields are ignored."""

from datetime import datetime
from typing import Any

import msgspec


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A frame from the gateway."""


class Challenge(Frame, frozen=True, kw_only=True, tag="challenge"):
    nonce: str


class Welcome(Frame, frozen=True, kw_only=True, tag="welcome"):
    connection_id: str = ""
    tenant_id: str = ""
    heartbeat_interval_s: float = 30


class Error(Frame, frozen=True, kw_only=True, tag="error"):
    code: str
    message: str = ""
    id: str | int | None = None
    retry_after_ms: float | None = None
    detail: Any = None


class Reconnect(Frame, frozen=True, kw_only=True, tag="reconnect"):
    retry_after_ms: float


class HeartbeatAck(Frame, frozen=True, kw_only=True, tag="heartbeat_ack"):
    pass


class Pong(Frame, frozen=True, kw_only=True, tag="pong"):
    pass


class Subscribed(Frame, frozen=True, kw_only=True, tag="subscribed"):
    id: str | int | None = None
    channel_id: str | None = None
    seq: int | None = None


class Unsubscribed(Frame, frozen=True, kw_only=True, tag="unsubscribed"):
    id: str | int | None = None


class Published(Frame, frozen=True, kw_only=True, tag="published"):
    id: str | int
    seq: int | None = None
    duplicate: bool = False


class MessageFrame(Frame, frozen=True, kw_only=True, tag="message"):
    subject: str
    data: msgspec.Raw
    timestamp: datetime
    channel: str | None = None
    queue: str | None = None
    reply: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    headers: dict[str, str] | None = None
    seq: int | None = None


class Gap(Frame, frozen=True, kw_only=True, tag="gap"):
    channel: str
    from_seq: int
    to_seq: int


class Reply(Frame, frozen=True, kw_only=True, tag="reply"):
    id: str | int
    data: msgspec.Raw


class Roster(Frame, frozen=True, kw_only=True, tag="roster"):
    id: str | int | None = None
    roster: list[dict[str, Any]] = []
    next_cursor: str | None = None


ServerFrame = (
    Challenge
    | Welcome
    | Error
    | Reconnect
    | HeartbeatAck
    | Pong
    | Subscribed
    | Unsubscribed
    | Published
    | MessageFrame
    | Gap
    | Reply
    | Roster
)
