"""The client: publish, subscribe, ask, answer."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import TypeVar

from artcafe_client.backoff import Backoff
from artcafe_client.channel import Channel
from artcafe_client.connection import Connection, Hooks
from artcafe_client.error_codes import PublishUncertain
from artcafe_client.errors import ArtcafeError, ConnectionLost, ServerError
from artcafe_client.message import Ack, Data, Message, encode
from artcafe_client.offline import REPEAT_WITHIN_S, OfflineBuffer
from artcafe_client.presence import Presence, PresenceReporter
from artcafe_client.receive_queue import Limits, Overflow, Source
from artcafe_client.responder import Handler, Responders
from artcafe_client.settings import Options
from artcafe_client.states import State
from artcafe_client.subscription import Subscription
from artcafe_client.subscription_set import PASSING, RETRY_S, SubscriptionSet
from artcafe_client.tasks import Tasks
from artcafe_client.tracing import Tracing
from artcafe_client.transports.link import Dial, Link, Target

RESPONDERS = "responders"
# What is sent and not read in this time is not waited for by `drain`.
DRAIN_STALL_S = 1.0
POLL_S = 0.01
H = TypeVar("H", bound=Handler)
log = logging.getLogger("artcafe_client")


class Client:
    """A client of an organization, connected from `async with` to its end; made by `connect`.

    Subjects are names such as `orders.new`; `*` and `>` are wildcards of subscriptions. Data is any JSON value.
    """

    def __init__(
        self,
        dial: Dial,
        options: Options,
        *,
        on_state: "Callable[[State], None] | None" = None,
    ) -> None:
        self._options = options
        self._on_state = on_state
        self._tasks = Tasks()
        self._connection = Connection(
            dial,
            Hooks(
                resume=self._resume,
                stop_receiving=self._stop_receiving,
                end=self._end,
                on_state=self._state_changed,
            ),
            Backoff(options.first_backoff, options.max_backoff),
        )
        self._subscriptions = SubscriptionSet(lambda: self._connection.link, self._tasks)
        self._tracing = Tracing(options.tracing)
        self._responders = Responders(self._tasks, self._tracing)
        self._offline = OfflineBuffer(options.offline)
        self._in_flight = 0
        self._heartbeats: asyncio.Task[None] | None = None
        self._reporter = PresenceReporter()
        self.presence = Presence(self._reporter, self._connection.require_link, self._subscribe_to)

    # -- the connection ------------------------------------------------------------------------

    async def __aenter__(self) -> "Client":
        return await self.open()

    async def __aexit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        if kind is None:
            await self.drain()
        else:
            await self.close()

    async def open(self) -> "Client":
        """Connect; `async with` does it. ConnectionFailed after `connect_timeout`, or the error of a refused key."""
        for subscription, handler, concurrency in self._responders.take_waiting():
            self._responders.serve(self._subscribe_to(subscription), handler, concurrency)
        await self._connection.open(self._options.connect_timeout)
        return self

    async def drain(self) -> None:
        """Stop receiving, let handlers finish, wait for acknowledgements, and close.

        Iterating a subscription ends after what its queue holds.
        """
        await self._connection.drain()
        await self._tasks.cancel()

    async def close(self) -> None:
        """Close at once. Publishes and requests without an answer fail."""
        await self._connection.close()
        await self._tasks.cancel()

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._connection.state

    @property
    def transport(self) -> str:
        """`nats` or `websocket`; empty while there is no connection."""
        return self._connection.link.transport if self._connection.link is not None else ""

    @property
    def connection_id(self) -> str:
        """The id of the present connection; empty while there is none."""
        return self._connection.link.connection_id if self._connection.link is not None else ""

    @property
    def tenant_id(self) -> str:
        """The id of the organization. NotConnected while there is no connection."""
        return self._connection.require_link().tenant_id

    async def states(self) -> AsyncIterator[State]:
        """The state, and each later one, until the client is closed."""
        while True:
            state = self._connection.state
            yield state
            if state is State.CLOSED:
                return
            while self._connection.state is state:
                await self._connection.wait_change()

    async def wait_connected(self) -> None:
        """Return when there is a connection, and all subscriptions are begun on it."""
        await self._connection.wait_link()

    async def wait_change(self) -> None:
        """Return when the state or the connection has changed. ClientClosed if the client is not open."""
        await self._connection.wait_change()

    async def flush(self, timeout: "float | None" = None) -> None:
        """Return when the server has received everything that was published before."""
        await self._connection.require_link().flush(self._options.ack_timeout if timeout is None else timeout)

    # -- publish and request -------------------------------------------------------------------

    async def publish(
        self,
        subject: str,
        data: Data,
        *,
        headers: "Mapping[str, str] | None" = None,
        confirm: bool = True,
    ) -> Ack:
        """Publish a message, and return when the broker has it.

        Without `confirm` it returns at once, as with bare NATS; `flush` confirms all that was sent so far. Raises a
        `ServerError` such as `ForbiddenSubject`; `NotConnected` if nothing was sent; `PublishUncertain` if it may or may
        not have arrived.
        """
        link = self._connection.link
        if not confirm and link is not None and not self._tracing.is_enabled:
            # The shortest way: no further coroutine of this class for each message.
            await link.send(subject, encode(data), headers)
            return _UNCONFIRMED
        return await self._publish(Target(subject), data, headers, None, confirm=confirm)

    async def request(
        self,
        subject: str,
        data: Data = None,
        *,
        timeout: float = 5.0,
        headers: "Mapping[str, str] | None" = None,
    ) -> Message:
        """Ask, and return the first answer. NoResponders without a subscriber, RequestTimeout without an answer in time."""
        body = encode(data)
        with self._tracing.sending("request", subject, headers) as sent_headers:
            if self._offline.is_enabled and self._connection.link is None:
                with self._offline.reserve(len(body)):
                    link = await self._connection.wait_link()
            else:
                link = self._connection.require_link()
            return await link.request(Target(subject), body, sent_headers, timeout)

    def subscribe(
        self,
        subject: str,
        *,
        queue: "str | None" = None,
        max_pending: int = Limits().messages,
        max_pending_bytes: int = Limits().bytes,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> Subscription:
        """Subscribe to a subject or pattern: `async for message in client.subscribe("orders.>")`.

        The members of one `queue` group share the messages. It begins at once; `await` it to know that the server has
        confirmed it. After a loss of the connection it begins again; what was published in between is missed, unlike with
        `channel(…).subscribe`. Reading slowly holds up nothing but this subscription: `overflow` says what happens when
        `max_pending` messages wait.
        """
        return self._subscribe_to(
            Source(
                target=Target(subject),
                queue=queue,
                overflow=overflow,
                limits=Limits(messages=max_pending, bytes=max_pending_bytes),
            )
        )

    def respond(
        self, subject: str, *, queue: "str | None" = RESPONDERS, concurrency: int = 16
    ) -> Callable[[H], H]:
        """Answer requests: `@client.respond("ask")` before a function of a message, whose result is the answer.

        At most `concurrency` requests are handled at the same time. The clients with the same `queue` share the requests.
        A function that returns None sends no answer; one that raises is logged, and the asker runs into its timeout.
        """

        def register(handler: H) -> H:
            source = Source(target=Target(subject), queue=queue)
            if self._connection.state is State.DISCONNECTED:
                self._responders.keep(source, handler, concurrency)
            else:
                self._responders.serve(self._subscribe_to(source), handler, concurrency)
            return handler

        return register

    def channel(self, channel: str) -> Channel:
        """A channel, by its id or its name; over direct NATS, by its id."""
        return Channel(channel, self._publish, self._subscribe_to)

    # ------------------------------------------------------------------------------------------

    def _subscribe_to(self, source: Source) -> Subscription:
        if self._connection.state is State.CLOSED:
            self._connection.require_link()
        return self._subscriptions.add(source)

    async def _publish(
        self,
        target: Target,
        data: Data,
        headers: "Mapping[str, str] | None",
        message_id: "str | None",
        *,
        confirm: bool = True,
    ) -> Ack:
        body = encode(data)
        with self._tracing.sending("publish", target.text, headers) as sent_headers:
            if not confirm:
                await (await self._link_for(body)).send(target.text, body, sent_headers)
                return _UNCONFIRMED
            if message_id is None and target.is_channel:
                message_id = secrets.token_hex(16)
            self._in_flight += 1
            try:
                return await self._publish_confirmed(target, body, sent_headers, message_id)
            finally:
                self._in_flight -= 1

    async def _link_for(self, body: bytes) -> Link:
        """The link; with an offline buffer, as soon as there is one."""
        if self._connection.link is not None or not self._offline.is_enabled:
            return self._connection.require_link()
        with self._offline.reserve(len(body)):
            return await self._connection.wait_link()

    async def _publish_confirmed(
        self, target: Target, body: bytes, headers: "Mapping[str, str] | None", message_id: "str | None"
    ) -> Ack:
        first_sent_at: float | None = None
        while True:
            link = await self._link_for(body)
            # The time of day, since a computer that sleeps may stop the other clock.
            now = time.time()
            if first_sent_at is None:
                first_sent_at = now
            elif target.is_channel and now - first_sent_at > REPEAT_WITHIN_S:
                raise _uncertain("sent too long ago to be published again", message_id)
            try:
                return await asyncio.wait_for(
                    link.publish(target, body, headers, message_id), self._options.ack_timeout
                )
            except ServerError as error:
                if not self._offline.is_enabled or error.status not in PASSING:
                    error.message_id = message_id
                    raise
                log.info("publishing again: %s", error, extra={"code": error.code})
                await asyncio.sleep(error.retry_after_s or RETRY_S)
            except (asyncio.TimeoutError, ConnectionLost) as error:
                if isinstance(error, asyncio.TimeoutError):
                    link.abort("the server does not acknowledge")
                if not self._offline.is_enabled:
                    reason = str(error) or "the server did not acknowledge the message in time"
                    raise _uncertain(reason, message_id) from None
                if self._connection.link is link:
                    await self._connection.wait_change()

    async def _resume(self, link: Link) -> None:
        await self._subscriptions.resume(link)
        await self._reporter.resume(link)
        self._heartbeats = self._tasks.start(self._send_heartbeats(link))

    async def _send_heartbeats(self, link: Link) -> None:
        try:
            while not link.lost.done():
                await asyncio.wait([link.lost], timeout=link.heartbeat_interval_s)
                if not link.lost.done():
                    await self._reporter.beat(link)
        except ConnectionLost:
            return

    async def _stop_receiving(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._options.drain_timeout
        await self._subscriptions.drain(deadline, DRAIN_STALL_S)
        await self._responders.wait(deadline)
        while self._in_flight and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(POLL_S)
        try:
            if self._connection.link is not None:
                await self._connection.link.flush(max(0.1, deadline - asyncio.get_running_loop().time()))
        except ArtcafeError as error:
            log.warning("the last messages are not confirmed: %s", error)

    def _end(self, error: "ArtcafeError | None") -> None:
        self._subscriptions.end(error)

    def _state_changed(self, state: State) -> None:
        if self._on_state is not None:
            self._on_state(state)


_UNCONFIRMED = Ack()


def _uncertain(reason: str, message_id: "str | None") -> PublishUncertain:
    error = PublishUncertain(reason)
    error.message_id = message_id
    return error
