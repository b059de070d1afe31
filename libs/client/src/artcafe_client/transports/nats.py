"""A connection to the broker, over NATS."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec
import nats.errors
from nats.aio.msg import Msg

from artcafe_client import names
from artcafe_client.error_codes import (
    AuthenticationFailed,
    ChannelNotFound,
    ForbiddenSubject,
    NoResponders,
    PayloadTooLarge,
    PublishUncertain,
    RequestTimeout,
)
from artcafe_client.errors import ArtcafeError, ConnectionFailed, ConnectionLost, NotSupported
from artcafe_client.header_block import publishers_headers
from artcafe_client.identity import Identity
from artcafe_client.message import Ack, Message
from artcafe_client.states import Event
from artcafe_client.transports.channel_reader import ChannelReader
from artcafe_client.transports.confirmations import Confirmations
from artcafe_client.transports.link import DialFailed, Feed, Loss, OnError, ReadRoster, Report, Target
from artcafe_client.transports.nats_client import NatsClient, Sink

# The connection has ended when the third PING is sent and none was answered: with other servers to go to, within 2.3 s.
PING_INTERVAL_S, CLUSTER_PING_INTERVAL_S = 10, 0.75
MAX_OUTSTANDING_PINGS = 2
ANSWER_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
MAX_CACHED_NAMES = 10_000
log = logging.getLogger("artcafe_client")


class NatsLink:
    """One connection to the broker, in the organization's account."""

    transport = "nats"
    heartbeat_interval_s = 30.0
    has_others = False

    def __init__(
        self,
        nc: NatsClient,
        identity: Identity,
        tenant_id: str,
        *,
        sign: bool,
        on_error: OnError,
        read_roster: ReadRoster | None,
    ) -> None:
        self.tenant_id = tenant_id
        # As the platform names it. The server counts its connections from its start.
        self.connection_id = f"nats:{nc.connected_server_id}:{nc.client_id}"
        self.lost: asyncio.Future[Loss] = asyncio.get_running_loop().create_future()
        self._nc = nc
        self._identity = identity
        self._sign = sign
        self._on_error = on_error
        self._read_roster = read_roster
        self._confirmations = Confirmations(nc.flush)
        self._names: dict[Target, str] = {}
        # The beginning of the command that publishes on a subject, as `enqueue` takes it.
        self._commands: dict[str, bytes] = {}
        self._subscriptions: dict[Feed, list[int]] = {}
        self._readers: dict[Feed, ChannelReader] = {}
        self._loss: Loss | None = None
        nc.ended.add_done_callback(
            lambda _: self._end(Loss(Event.LOST, ConnectionLost("the connection was lost")))
        )

    @classmethod
    async def dial(
        cls,
        url: str,
        identity: Identity,
        tenant_id: str,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        sign: bool,
        on_error: OnError,
        has_others: bool = False,
        read_roster: ReadRoster | None = None,
    ) -> "NatsLink":
        """Connects to a server with the client's key; `has_others` if there are more. DialFailed."""
        nc = NatsClient()
        link: NatsLink | None = None
        errors: list[Exception] = []

        async def report(error: Exception) -> None:
            errors.append(error)
            if link is not None:
                link.on_broker_error(error)

        try:
            await asyncio.wait_for(
                nc.open(
                    [url],
                    tls=tls,
                    nkeys_seed_str=identity.seed,
                    name="artcafe-client",
                    inbox_prefix=inbox_prefix(identity.client_id).encode(),
                    connect_timeout=max(1, int(timeout_s)),
                    ping_interval=CLUSTER_PING_INTERVAL_S if has_others else PING_INTERVAL_S,
                    max_outstanding_pings=MAX_OUTSTANDING_PINGS,
                    error_cb=report,
                ),
                timeout_s,
            )
            link = cls(nc, identity, tenant_id, sign=sign, on_error=on_error, read_roster=read_roster)
            link.has_others = has_others
        except (nats.errors.Error, OSError, asyncio.TimeoutError) as error:
            said = " ".join(map(repr, (error, *errors))).lower()
            if "authorization" in said:
                raise DialFailed(
                    Loss(Event.REFUSED, AuthenticationFailed("the broker refused the key"))
                ) from None
            reason = str(error) or type(error).__name__
            raise DialFailed(Loss(Event.LOST, ConnectionFailed(f"cannot reach {url}: {reason}"))) from None
        finally:
            if link is None:
                await _close(nc)
        return link

    # -- sending -------------------------------------------------------------------------------

    async def publish(
        self, target: Target, body: bytes, headers: Mapping[str, str] | None, message_id: str | None
    ) -> Ack:
        subject = self._subject(target)
        if names.channel_of(self.tenant_id, subject) is not None:
            return await self._publish_to_channel(subject, body, headers, message_id)
        await self._publish(subject, body, headers)
        await self._confirmations.add(subject)
        return Ack()

    async def send(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
        if headers or self._sign or self.lost.done():
            await self._publish(self._subject(Target(subject)), body, headers)
            return
        command = self._commands.get(subject) or self._command(subject)
        try:
            if self._nc.enqueue(command, body):
                await self._nc.write_pending()
        except (nats.errors.Error, OSError) as error:
            raise _translate(error) from None

    async def flush(self, timeout_s: float) -> None:
        with _translated():
            await self._nc.flush(max(1, int(timeout_s)))

    async def request(
        self, target: Target, body: bytes, headers: Mapping[str, str] | None, timeout_s: float
    ) -> Message:
        with _translated():
            reply = await self._until_lost(
                self._nc.request(
                    self._subject(target), body, timeout_s, headers=self._headers("", body, headers)
                )
            )
            return self._reply_message(reply)

    async def respond(self, message: Message, body: bytes) -> None:
        """Publish the answer to a request."""
        await self._publish(message.reply or "", body, None)

    async def report(self, report: Report, *, heartbeat: bool) -> None:
        if not self._identity.client_id:
            return
        suffix = f"tenant.{self.tenant_id}.client.{self._identity.client_id}"
        fields = msgspec.to_builtins(report)
        if not heartbeat:
            await self._publish(
                f"_PRESENCE.{suffix}", msgspec.json.encode({"type": "connect", **fields}), None
            )
        await self._publish(f"_HEARTBEAT.{suffix}", msgspec.json.encode(fields), None)

    async def roster(self, timeout_s: float) -> list[dict[str, Any]]:
        if self._read_roster is None:
            raise NotSupported("the roster is read over WebSocket, whose address this client was not given")
        return await self._read_roster(timeout_s)

    # -- subscriptions -------------------------------------------------------------------------

    async def subscribe(self, feed: Feed) -> None:
        subjects = self._patterns(feed.target)
        start = feed.start
        if start is not None:
            reader = self._readers[feed] = ChannelReader(
                self._nc,
                names.channel_of(self.tenant_id, subjects[0]) or "",
                subjects[0],
                feed,
                self._confirmations.add,
            )
            try:
                with _translated():
                    await self._until_lost(reader.start(start))
            except BaseException:
                self._readers.pop(feed, None)
                await reader.stop()
                raise
            return
        with _translated():
            self._subscriptions[feed] = [
                await self._nc.listen(subject, feed.queue or "", self._sink(feed)) for subject in subjects
            ]
        for confirmed in [self._confirmations.add(subject) for subject in subjects]:
            await confirmed
        feed.started(None)

    async def unsubscribe(self, feed: Feed) -> None:
        reader = self._readers.pop(feed, None)
        with _translated():
            if reader is not None:
                await reader.stop()
            for each in self._subscriptions.pop(feed, ()):
                await self._nc.stop_listening(each)
            await self._confirmations.add("")

    def _sink(self, feed: Feed) -> Sink:
        """Passes messages on to a subscription; runs for each message, so it looks up what it can."""
        deliver, respond, now = feed.deliver, self.respond, time.time
        received: dict[bytes, tuple[str, str | None]] = {}

        def receive(subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
            known = received.get(subject)
            if known is None:
                if len(received) >= MAX_CACHED_NAMES:
                    received.clear()
                known = received[subject] = self._received_name(subject.decode())
            name, channel = known
            if reply:
                deliver(Message(name, payload, now(), channel, None, headers, None, reply.decode(), respond))
            else:
                deliver(Message(name, payload, now(), channel, None, headers))

        return receive

    def _received_name(self, subject: str) -> tuple[str, str | None]:
        """What a subject of the broker is called in messages, and its channel."""
        return names.bare_name(self.tenant_id, subject), names.channel_of(self.tenant_id, subject)

    # -- the connection ------------------------------------------------------------------------

    def on_broker_error(self, error: Exception) -> None:
        """What the broker says outside of any call."""
        text = str(error)
        if "permissions violation" in text.lower():
            refused = ForbiddenSubject(text)
            if not self._confirmations.refuse(text, refused):
                self._on_error(refused)
        elif "authorization" in text.lower() or "authentication" in text.lower():
            self._loss = Loss(Event.LOST, AuthenticationFailed(text))
        elif not isinstance(error, (OSError, nats.errors.UnexpectedEOF)):
            log.warning("the connection reports: %s", error)

    def abort(self, reason: str) -> None:
        self._end(Loss(Event.LOST, ConnectionLost(reason)))

    async def close(self) -> None:
        if not self.lost.done() and self._identity.client_id:
            goodbye = msgspec.json.encode({"type": "disconnect"})
            subject = f"_PRESENCE.tenant.{self.tenant_id}.client.{self._identity.client_id}"
            with contextlib.suppress(ArtcafeError, nats.errors.Error):
                await self._publish(subject, goodbye, None)
                await asyncio.wait_for(self._nc.flush(1), CLOSE_TIMEOUT_S)
        for reader in tuple(self._readers.values()):
            await reader.stop()
        self._readers.clear()
        await _close(self._nc)

    def _end(self, loss: Loss) -> None:
        if not self.lost.done():
            self.lost.set_result(self._loss or loss)
            self._confirmations.end(ConnectionLost(str(self.lost.result().error)))

    async def _until_lost(self, work: Awaitable[Any]) -> Any:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self.lost}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ConnectionLost("the connection was lost")
            return await task
        finally:
            task.cancel()

    # -- messages ------------------------------------------------------------------------------

    async def _publish(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> None:
        if self.lost.done():
            raise ConnectionLost("the connection was lost")
        try:
            if headers or self._sign:
                headers = self._headers(subject, body, headers)
            await self._nc.publish(subject, body, headers=headers)  # type: ignore[arg-type]
        except (nats.errors.Error, OSError) as error:
            raise _translate(error) from None

    async def _publish_to_channel(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None, message_id: str | None
    ) -> Ack:
        all_headers = dict(self._headers(subject, body, headers) or {})
        if message_id is not None:
            # Ids belong to their publisher: another client's message with the same id is another message.
            all_headers["Nats-Msg-Id"] = f"{self._identity.public_key}.{message_id}"
        try:
            reply = await self._until_lost(
                self._nc.request(subject, body, ANSWER_TIMEOUT_S, headers=all_headers)
            )
            acknowledged: dict[str, Any] = msgspec.json.decode(reply.data)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError, msgspec.DecodeError):
            raise PublishUncertain("the channel's stream did not confirm the message") from None
        except (nats.errors.Error, OSError) as error:
            raise _translate(error) from None
        if "seq" not in acknowledged:
            raise PublishUncertain(str(acknowledged.get("error", {}).get("description", "")))
        return Ack(seq=acknowledged["seq"], duplicate=acknowledged.get("duplicate", False))

    def _headers(self, subject: str, body: bytes, headers: Mapping[str, str] | None) -> dict[str, str] | None:
        if not self._sign or not subject:
            return dict(headers) if headers else None
        return {**(headers or {}), "Artcafe-Signature": self._identity.sign_message(subject, body)}

    def _subject(self, target: Target) -> str:
        subject = self._names.get(target)
        if subject is None:
            if target.is_channel:
                subject = self._channel_subject(target.text)
            else:
                subject = names.resolve(self.tenant_id, target.text, wildcards=False).publish
            if len(self._names) >= MAX_CACHED_NAMES:
                self._names.clear()
            self._names[target] = subject
        return subject

    def _reply_message(self, reply: Msg) -> Message:
        return Message(
            reply.subject,
            reply.data,
            time.time(),
            _headers=publishers_headers(reply.headers or {}),
            reply=reply.reply or None,
            _respond=self.respond if reply.reply else None,
        )

    def _command(self, subject: str) -> bytes:
        if len(self._commands) >= MAX_CACHED_NAMES:
            self._commands.clear()
        command = self._commands[subject] = f"PUB {self._subject(Target(subject))} ".encode()
        return command

    def _patterns(self, target: Target) -> tuple[str, ...]:
        if target.is_channel:
            return (self._channel_subject(target.text),)
        return names.resolve(self.tenant_id, target.text, wildcards=True).subscribe

    def _channel_subject(self, channel: str) -> str:
        if not names.is_channel_id(channel):
            raise ChannelNotFound("over direct NATS a channel is named by its id, not by its name")
        return names.channel_subject(self.tenant_id, channel)


def inbox_prefix(client_id: str) -> str:
    """The prefix of a client's own inboxes; without an id the default one, which only clients with all rights may use."""
    return f"_INBOX.{client_id}" if client_id else "_INBOX"


async def _close(nc: NatsClient) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(nc.close(), CLOSE_TIMEOUT_S)


@contextlib.contextmanager
def _translated() -> Any:
    try:
        yield
    except (nats.errors.Error, OSError, asyncio.TimeoutError) as error:
        raise _translate(error) from None


def _translate(error: Exception) -> ArtcafeError:
    """The package's error for one of nats-py."""
    if isinstance(error, nats.errors.NoRespondersError):
        return NoResponders()
    if isinstance(error, nats.errors.MaxPayloadError):
        return PayloadTooLarge()
    if isinstance(error, (nats.errors.TimeoutError, asyncio.TimeoutError)):
        return RequestTimeout()
    return ConnectionLost(str(error) or type(error).__name__)
