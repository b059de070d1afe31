"""An organization in memory: subjects, queue groups, channels with history, requests, presence, and failures on demand."""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from artcafe_client.client import Client
from artcafe_client.error_codes import AuthenticationFailed, ChannelNotFound
from artcafe_client.error_factory import create_error
from artcafe_client.errors import AccessRevoked, ArtcafeError, ConnectionFailed, ConnectionLost
from artcafe_client.message import Ack
from artcafe_client.names import channel_subject
from artcafe_client.settings import Options
from artcafe_client.states import Event
from artcafe_client.testing.link import MemoryLink
from artcafe_client.transports.link import DialFailed, Feed, Loss, Report

TENANT = "01J00000000000000000000000"


class Stored(NamedTuple):
    """A message of a channel's history."""

    seq: int
    subject: str
    body: bytes
    headers: "Mapping[str, str] | None"
    sender: str
    time: float


class MemoryServer:
    """A server without a network; its clients are those of the package itself.

    Channels are made by `create_channel`; with `keep`, the history keeps that many messages of each. Nothing is delayed and
    nothing is lost unless a test asks for it: `disconnect`, `stop` and `start`, `refuse`, `fail_next_publish`.
    """

    def __init__(self, *, keep: int = 10_000, tenant_id: str = TENANT) -> None:
        self.tenant_id = tenant_id
        self.keep = keep
        self.links: list[MemoryLink] = []
        self.presence: dict[str, Report] = {}
        self.heartbeats: dict[str, int] = defaultdict(int)
        self._channels: dict[str, str] = {}
        self._history: dict[str, list[Stored]] = defaultdict(list)
        self._dropped: dict[str, int] = defaultdict(int)
        self._ids: dict[tuple[str, str, str], int] = {}
        self._seq = itertools.count(1)
        self._connections = itertools.count(1)
        self._is_up = True
        self._retry_after_s: float | None = None
        self._refused: set[str] = set()
        self._next_failure: ArtcafeError | None = None
        self._lose_ack = False

    def connect(self, client_id: str = "client", **changes: Any) -> Client:
        """A client of the organization; the keywords are those of `artcafe_client.connect`."""
        on_state = changes.pop("on_state", None)
        options = Options(**{"first_backoff": 0.01, "max_backoff": 0.05, **changes})

        async def dial() -> MemoryLink:
            return await self._accept(client_id)

        return Client(dial, options, on_state=on_state)

    def create_channel(self, name: str) -> str:
        """Make a channel; returns its id."""
        channel_id = f"01CH{len(self._channels):022d}"
        self._channels[name] = self._channels[channel_id] = channel_id
        return channel_id

    # -- failures on demand --------------------------------------------------------------------

    def disconnect(self, client_id: "str | None" = None, *, retry_after_s: "float | None" = None) -> None:
        """Break the connections of a client, or of all; with `retry_after_s` as a server does that restarts."""
        event = Event.LOST if retry_after_s is None else Event.RETRY_LATER
        for link in tuple(self.links):
            if client_id in (None, link.client_id):
                link.end(Loss(event, ConnectionLost("restarting"), retry_after_s))

    def stop(self) -> None:
        """Break all connections, and accept none until `start`."""
        self._is_up = False
        self.disconnect()

    def start(self) -> None:
        """Accept connections again."""
        self._is_up = True

    def refuse(self, client_id: str) -> None:
        """Revoke a client's access: its connections end, and it is not accepted again."""
        self._refused.add(client_id)
        for link in tuple(self.links):
            if link.client_id == client_id:
                link.end(Loss(Event.REFUSED, AccessRevoked("revoked")))

    def fail_next_publish(self, code: str) -> None:
        """Answer the next publish with an error."""
        self._next_failure = create_error(code)

    def lose_next_ack(self) -> None:
        """Store the next publish, and break the connection before it is acknowledged."""
        self._lose_ack = True

    def history(self, channel: str) -> list[Any]:
        """The data of the kept messages of a channel."""
        return [stored.body for stored in self._history[self.channel_id(channel)]]

    # -- for the links -------------------------------------------------------------------------

    async def _accept(self, client_id: str) -> MemoryLink:
        await asyncio.sleep(0)
        if client_id in self._refused:
            raise DialFailed(Loss(Event.REFUSED, AuthenticationFailed()))
        if not self._is_up:
            raise DialFailed(Loss(Event.LOST, ConnectionFailed("the server is stopped")))
        link = MemoryLink(self, client_id, f"memory-{next(self._connections)}")
        self.links.append(link)
        return link

    def channel_id(self, channel: str) -> str:
        """The id of a channel. ChannelNotFound."""
        try:
            return self._channels[channel]
        except KeyError:
            raise ChannelNotFound from None

    def take_failure(self) -> "ArtcafeError | None":
        """The error that the next publish is answered with."""
        failure, self._next_failure = self._next_failure, None
        return failure

    def loses_ack(self) -> bool:
        """Whether the connection breaks before this acknowledgement."""
        lost, self._lose_ack = self._lose_ack, False
        return lost

    def store(
        self,
        channel: str,
        body: bytes,
        headers: "Mapping[str, str] | None",
        sender: str,
        message_id: "str | None",
    ) -> Ack:
        """Keep a message of a channel, and deliver it."""
        channel_id = self.channel_id(channel)
        key = (channel_id, sender, message_id or "")
        if message_id is not None and key in self._ids:
            return Ack(seq=self._ids[key], duplicate=True)
        stored = Stored(
            next(self._seq), channel_subject(self.tenant_id, channel_id), body, headers, sender, time.time()
        )
        if message_id is not None:
            self._ids[key] = stored.seq
        kept = self._history[channel_id]
        kept.append(stored)
        while len(kept) > self.keep:
            self._dropped[channel_id] = kept.pop(0).seq
        for link in tuple(self.links):
            link.deliver_stored(channel_id, stored)
        self.deliver(stored.subject, body, headers, sender, channel_id=channel_id, seq=stored.seq)
        return Ack(seq=stored.seq)

    def stored_since(self, channel_id: str, seq: int) -> list[Stored]:
        """What is kept of a channel from a `seq` on."""
        return [stored for stored in self._history[channel_id] if stored.seq >= seq]

    def last_dropped(self, channel_id: str) -> int:
        """The highest `seq` that a channel does not keep any more."""
        return self._dropped[channel_id]

    @property
    def last_seq(self) -> int:
        """The highest `seq` of all channels."""
        return max((kept[-1].seq for kept in self._history.values() if kept), default=0)

    def deliver(
        self,
        subject: str,
        body: bytes,
        headers: "Mapping[str, str] | None",
        sender: str,
        *,
        reply: "str | None" = None,
        channel_id: "str | None" = None,
        seq: "int | None" = None,
    ) -> int:
        """Deliver to every subscription, and to one of each queue group; returns how many there were."""
        groups: dict[tuple[str, str], list[tuple[MemoryLink, Feed]]] = defaultdict(list)
        for link in tuple(self.links):
            for feed in link.matching(subject, channel_id):
                groups[(feed.target.text, feed.queue) if feed.queue else (str(id(feed)), "")].append(
                    (link, feed)
                )
        for members in groups.values():
            link, feed = random.choice(members)
            link.deliver(feed, subject, body, headers, sender, reply=reply, channel_id=channel_id, seq=seq)
        return len(groups)
