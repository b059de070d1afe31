"""A connection to the server in memory."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from artcafe_client.error_codes import NoResponders, RequestTimeout
from artcafe_client.errors import ConnectionLost
from artcafe_client.message import Ack, Message
from artcafe_client.names import matches, resolve
from artcafe_client.states import Event
from artcafe_client.transports.link import Feed, Loss, Report, Start, Target

if TYPE_CHECKING:
    from artcafe_client.testing.server import MemoryServer, Stored

HEARTBEAT_INTERVAL_S = 0.2


class MemoryLink:
    """One connection of one client."""

    transport = "memory"
    heartbeat_interval_s = HEARTBEAT_INTERVAL_S
    has_others = False

    def __init__(self, server: "MemoryServer", client_id: str, connection_id: str) -> None:
        self.client_id = client_id
        self.connection_id = connection_id
        self.tenant_id = server.tenant_id
        self.lost: asyncio.Future[Loss] = asyncio.get_running_loop().create_future()
        self._server = server
        self._feeds: dict[Feed, str] = {}
        self._replies: dict[str, asyncio.Future[Message]] = {}

    async def publish(
        self, target: Target, body: bytes, headers: "Mapping[str, str] | None", message_id: "str | None"
    ) -> Ack:
        await self._turn()
        failure = self._server.take_failure()
        if failure is not None:
            raise failure
        ack = self._put(target, body, headers, message_id)
        if self._server.loses_ack():
            self.end(Loss(Event.LOST, ConnectionLost("the connection was lost")))
            raise ConnectionLost("the connection was lost")
        return ack

    async def send(self, subject: str, body: bytes, headers: "Mapping[str, str] | None") -> None:
        await self._turn()
        self._put(Target(subject), body, headers, None)

    async def flush(self, timeout_s: float) -> None:
        await self._turn()

    async def request(
        self, target: Target, body: bytes, headers: "Mapping[str, str] | None", timeout_s: float
    ) -> Message:
        await self._turn()
        inbox = f"_INBOX.{self.connection_id}.{len(self._replies)}.{time.monotonic_ns()}"
        future = self._replies[inbox] = asyncio.get_running_loop().create_future()
        try:
            subject = resolve(self.tenant_id, target.text, wildcards=False).bare
            if not self._server.deliver(subject, body, headers, self.client_id, reply=inbox):
                raise NoResponders
            return await asyncio.wait_for(future, timeout_s)
        except asyncio.TimeoutError:
            raise RequestTimeout from None
        finally:
            del self._replies[inbox]

    async def subscribe(self, feed: Feed) -> None:
        await self._turn()
        if feed.target.is_channel:
            channel_id = self._feeds[feed] = self._server.channel_id(feed.target.text)
            start = feed.start
            if start is not None:
                self._replay(feed, channel_id, start)
        else:
            self._feeds[feed] = resolve(self.tenant_id, feed.target.text, wildcards=True).bare
        feed.started(self._server.last_seq if feed.start is not None and feed.start.is_now else None)

    async def unsubscribe(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)

    async def report(self, report: Report, *, heartbeat: bool) -> None:
        await self._turn()
        self._server.presence[self.client_id] = report
        self._server.heartbeats[self.client_id] += heartbeat

    async def roster(self, timeout_s: float) -> list[dict[str, Any]]:
        await self._turn()
        online = {link.client_id for link in self._server.links}
        return [
            {
                "client_id": client_id,
                "status": "online" if client_id in online else "offline",
                **msgspec.to_builtins(self._server.presence.get(client_id, Report())),
            }
            for client_id in sorted(online | self._server.presence.keys())
        ]

    def abort(self, reason: str) -> None:
        self.end(Loss(Event.LOST, ConnectionLost(reason)))

    async def close(self) -> None:
        self.end(Loss(Event.LOST, ConnectionLost("closed")))

    # -- for the server ------------------------------------------------------------------------

    def end(self, loss: Loss) -> None:
        """End the connection."""
        if self.lost.done():
            return
        self._server.links.remove(self)
        self._feeds.clear()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(ConnectionLost(str(loss.error)))
        self.lost.set_result(loss)

    def matching(self, subject: str, channel_id: "str | None") -> Iterator[Feed]:
        """The subscriptions that receive a message, except those that read a channel's history."""
        for feed, name in tuple(self._feeds.items()):
            if feed.target.is_channel:
                if feed.start is None and name == channel_id:
                    yield feed
            elif matches(name, subject):
                yield feed

    def deliver(
        self,
        feed: Feed,
        subject: str,
        body: bytes,
        headers: "Mapping[str, str] | None",
        sender: str,
        *,
        reply: "str | None",
        channel_id: "str | None",
        seq: "int | None",
    ) -> None:
        """Hand a message to a subscription."""
        feed.deliver(
            Message(
                subject,
                body,
                time.time(),
                channel=channel_id,
                seq=seq,
                _headers=headers,
                sender=sender,
                reply=reply,
                _respond=self._respond if reply else None,
            )
        )

    def deliver_stored(self, channel_id: str, stored: "Stored") -> None:
        """Hand a new message of a channel to those that read its history."""
        for feed, name in tuple(self._feeds.items()):
            if feed.target.is_channel and name == channel_id and feed.start is not None:
                self._hand(feed, channel_id, stored)

    def reply_to(self, inbox: str, message: Message) -> bool:
        """Answer a request of this connection."""
        future = self._replies.get(inbox)
        if future is not None and not future.done():
            future.set_result(message)
        return future is not None

    # ------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """What a network does: another task has its turn."""
        await asyncio.sleep(0)
        if self.lost.done():
            raise ConnectionLost(str(self.lost.result().error))

    def _put(
        self, target: Target, body: bytes, headers: "Mapping[str, str] | None", message_id: "str | None"
    ) -> Ack:
        if target.is_channel:
            return self._server.store(target.text, body, headers, self.client_id, message_id)
        name = resolve(self.tenant_id, target.text, wildcards=False)
        if name.channel is not None:
            return self._server.store(name.channel, body, headers, self.client_id, message_id)
        self._server.deliver(name.bare, body, headers, self.client_id)
        return Ack()

    def _replay(self, feed: Feed, channel_id: str, start: Start) -> None:
        kept = self._server.stored_since(channel_id, 0)
        if isinstance(start.since, int):
            dropped = self._server.last_dropped(channel_id)
            if start.since <= dropped:
                feed.deliver_gap(start.since, dropped)
            kept = [stored for stored in kept if stored.seq >= start.since]
        elif start.since is not None:
            kept = [stored for stored in kept if stored.time >= start.since.timestamp()]
        else:
            kept = kept[-start.last :] if start.last else []
        for stored in kept:
            self._hand(feed, channel_id, stored)

    def _hand(self, feed: Feed, channel_id: str, stored: "Stored") -> None:
        feed.deliver(
            Message(
                stored.subject,
                stored.body,
                stored.time,
                channel=channel_id,
                seq=stored.seq,
                _headers=stored.headers,
                sender=stored.sender,
            )
        )

    async def _respond(self, message: Message, body: bytes) -> None:
        await self._turn()
        answer = Message(message.reply or "", body, time.time(), sender=self.client_id)
        any(link.reply_to(message.reply or "", answer) for link in tuple(self._server.links))
