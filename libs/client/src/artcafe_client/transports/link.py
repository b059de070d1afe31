"""One connection to the server, as the client sees it whatever the transport."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from artcafe_client.errors import ArtcafeError
from artcafe_client.message import Ack, Message
from artcafe_client.states import Event


class Target(NamedTuple):
    """Where a message goes: a subject, or with `is_channel` the id or name of a channel."""

    text: str
    is_channel: bool = False


class Loss(NamedTuple):
    """Why a connection ended, or could not be made; `retry_after_s` is the delay that the server named."""

    event: Event
    error: ArtcafeError
    retry_after_s: float | None = None


class DialFailed(Exception):
    """No connection could be made."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(str(loss.error))
        self.loss = loss


class Start(msgspec.Struct, frozen=True):
    """Where a channel's subscription starts: at a `seq`, at a time, or with the last N messages; 0 means from now on."""

    since: int | datetime | None = None
    last: int | None = None

    @property
    def is_now(self) -> bool:
        """Whether it starts with new messages."""
        return self.since is None and not self.last


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client says about itself."""

    status: str | None = None
    capabilities: list[str] | None = None
    metadata: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None


class Feed(Protocol):
    """The receiving end of a subscription; a link delivers to it and never waits for it."""

    target: Target
    queue: str | None

    @property
    def start(self) -> Start | None:
        """Where to start in the channel's history; None for live messages only."""

    @property
    def room(self) -> int:
        """How many messages it can still take."""

    def deliver(self, message: Message) -> None:
        """Takes a message."""

    def deliver_gap(self, from_seq: int, to_seq: int) -> None:
        """Notes that messages are not kept any more."""

    def started(self, seq: int | None) -> None:
        """The server has confirmed the subscription; what comes after `seq` follows, if it says so."""

    def fail(self, error: ArtcafeError) -> None:
        """Ends the subscription with an error."""


class Link(Protocol):
    """A connection that the server has accepted. Its methods raise ServerError and ConnectionLost."""

    transport: str
    tenant_id: str
    connection_id: str
    heartbeat_interval_s: float
    # Whether there are other servers to go to.
    has_others: bool
    # Done when the connection has ended.
    lost: "asyncio.Future[Loss]"

    async def publish(
        self, target: Target, body: bytes, headers: Mapping[str, str] | None, message_id: str | None
    ) -> Ack:
        """Returns when the broker has the message; for a channel, when it is stored."""

    async def send(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
        """Hands a message to the connection; nothing confirms it."""

    async def flush(self, timeout_s: float) -> None:
        """Returns when the server has received everything that was sent before."""

    async def request(
        self, target: Target, body: bytes, headers: Mapping[str, str] | None, timeout_s: float
    ) -> Message:
        """The first reply; NoResponders, or the server's error for a timeout."""

    async def subscribe(self, feed: Feed) -> None:
        """Returns when the server has confirmed the subscription."""

    async def unsubscribe(self, feed: Feed) -> None:
        """Returns when no more messages can arrive."""

    async def report(self, report: Report, *, heartbeat: bool) -> None:
        """Reports the client's presence."""

    async def roster(self, timeout_s: float) -> list[dict[str, Any]]:
        """Who is in the organization."""

    def abort(self, reason: str) -> None:
        """Ends a connection that does not answer."""

    async def close(self) -> None:
        """Says goodbye and ends the connection."""


Dial = Callable[[], Awaitable[Link]]
# Takes what the server says outside of any call, for example that a message was too large to be delivered.
OnError = Callable[[ArtcafeError], None]
# Reads the roster within some seconds, by another way than the link itself.
ReadRoster = Callable[[float], Awaitable[list[dict[str, Any]]]]
