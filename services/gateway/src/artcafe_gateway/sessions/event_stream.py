"""The session of one stream of server-sent events, `GET /channels/{channel_id}/events`."""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from artcafe_common.broker.subjects import ResolvedSubject
from artcafe_common.bus.errors import CommandError, ServiceUnavailable
from artcafe_common.clock import new_id, now
from artcafe_common.contracts.identity.users import InvalidToken
from artcafe_common.contracts.presence import ClosedSocket, OpenedSocket
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.errors import HistoryUnavailable
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import HistoryQuery
from artcafe_gateway.http.auth import TenantCaller, TenantClient, authenticated_at
from artcafe_gateway.http.request import HttpConnection, client_ip
from artcafe_gateway.subscriptions.formats import EVENT_STREAM_FORMAT
from artcafe_gateway.subscriptions.socket_subscriptions import SocketSubscriptions
from artcafe_gateway.wire.events import KEEP_ALIVE, EventQueue, encode_end, encode_event, encode_retry
from artcafe_gateway.wire.frames import Error, Subscribed
from artcafe_gateway.wire.http_protocol import HTTP_EXTENSION
from artcafe_gateway.wire.send_queue import CLOSE_TOO_SLOW
from artcafe_gateway.wire.socket import (
    CLOSE_UNAUTHENTICATED,
    MIN_RECONNECT_MS,
    RECONNECT_CODES,
    RECONNECT_SPREAD_MS,
)
from artcafe_gateway.wire.transport import ABORT_AFTER_S

_encode = EVENT_STREAM_FORMAT.encode


class EventConnection:
    """The response of a stream, as the session registry sees a connection."""

    # An error ends a stream, so a live one was sent none.
    recent_errors = ()

    def __init__(self, limit: int, abort: Callable[[], None]) -> None:
        self.connection_id = new_id()
        self.close_reason = ""
        self.send_queue = EventQueue(limit, self._close_slow_consumer)
        self.on_slow_consumer: Callable[[], None] | None = None
        self.on_keep_alive: Callable[[], None] | None = None
        self._abort = abort
        self._abort_timer: asyncio.TimerHandle | None = None
        self._retry_sent = False
        self._kept_alive_at = time.monotonic()

    @property
    def last_received_at(self) -> float:
        """The client has nothing to send."""
        return time.monotonic()

    def send_error(self, error: CommandError) -> None:
        """Queues an error."""
        self.send_queue.push(_encode(Error(code=error.code, message=error.detail)))

    def send_reconnect(self, spread_ms: int = RECONNECT_SPREAD_MS) -> None:
        """Tells the client when to connect again, within a random time of `spread_ms`. Idempotent."""
        if not self._retry_sent:
            self._retry_sent = True
            self.send_queue.push(encode_retry(MIN_RECONNECT_MS + int(random.random() * spread_ms)))

    def keep_alive(self, now: float, interval_s: float) -> None:
        """Sends a comment every `interval_s`."""
        if now - self._kept_alive_at < interval_s:
            return
        self._kept_alive_at = now
        if self.send_queue.push(KEEP_ALIVE) and self.on_keep_alive is not None:
            self.on_keep_alive()

    def close(self, code: int, reason: str) -> None:
        """Ends the stream with a last event; the connection is aborted if the client does not read it. Idempotent."""
        if self.send_queue.closed:
            return
        self.close_reason = reason
        if code in RECONNECT_CODES:
            self.send_reconnect()
        self.send_queue.close(encode_end(reason), discard=code == CLOSE_TOO_SLOW)
        self._abort_timer = asyncio.get_running_loop().call_later(ABORT_AFTER_S, self._abort)

    def _close_slow_consumer(self) -> None:
        self.close(CLOSE_TOO_SLOW, "too_slow")
        if self.on_slow_consumer is not None:
            self.on_slow_consumer()

    def end(self) -> None:
        """The response is complete, or its client has disconnected."""
        self.send_queue.closed = True
        if self._abort_timer is not None:
            self._abort_timer.cancel()


class _Unbilled:
    """What people receive is not billed, and they are no subscribers of a channel."""

    def record_delivery(self, *_: Any, **__: Any) -> None: ...

    def add(self, *_: str) -> None: ...

    def remove(self, *_: str) -> None: ...


class EventStreamSession:
    """A client, or a person, that follows a channel."""

    busy = False

    def __init__(
        self, connection: EventConnection, tenant_caller: TenantCaller, bridge: Bridge, gateway: Gateway
    ) -> None:
        self.socket = connection
        self.tenant_id = tenant_caller.caller.tenant_id
        self.owner = tenant_caller.caller.actor
        self.recorded_until = time.monotonic()
        self._client = tenant_caller.token.client if isinstance(tenant_caller, TenantClient) else None
        self.owner_updated_at = self._client.updated_at if self._client is not None else None
        self._caller = tenant_caller.caller
        self._gateway = gateway
        self._bridge = bridge
        self._opened = False
        unbilled = _Unbilled()
        self._subscriptions = SocketSubscriptions(
            tenant_id=self.tenant_id,
            client_id=tenant_caller.client_id,
            send_queue=connection.send_queue,
            bridge=bridge,
            usage=gateway.usage if self._client is not None else unbilled,
            channel_subscribers=gateway.channel_subscribers if self._client is not None else unbilled,
            may_publish=lambda _: False,
            close_socket=connection.close,
            format_=EVENT_STREAM_FORMAT,
        )
        connection.on_slow_consumer = partial(gateway.record_slow_consumer, self.owner, self.tenant_id)
        connection.on_keep_alive = self._report_heartbeat
        lifetime_s = tenant_caller.expires_at.timestamp() - time.time()
        self._expiry = asyncio.get_running_loop().call_later(
            max(lifetime_s, 0), connection.close, CLOSE_UNAUTHENTICATED, "token_expired"
        )

    @property
    def subscribed_names(self) -> list[str]:
        """The channel that it follows."""
        return list(self._subscriptions.names)

    async def leave_groups(self) -> None:
        """A stream is in no queue group."""

    async def start(self, name: ResolvedSubject, query: HistoryQuery) -> None:
        """Subscribes to a channel; PlanLimitReached, BrokerUnavailable, InvalidRequest, HistoryUnavailable.

        A channel that stores no messages is followed from now on, and its events have no ids.
        """
        key = name.original
        if self._client is not None:
            await self._gateway.connection_limit.reserve(self.tenant_id, self.socket.connection_id)
        position = None
        try:
            position = await self._subscriptions.subscribe_from(key, name, query)
        except HistoryUnavailable:
            if query.since is not None or query.last:
                raise
            await self._subscriptions.subscribe(key, name)
        gap = position.gap if position is not None else None
        subscribed = Subscribed(
            channel=name.channel,
            gap=True if gap is not None else None,
            seq=None if position is None else position.after_seq,
        )
        # A client that reconnects before the first message resumes here. The gap has an id of its own.
        event_id = position.after_seq if position is not None and gap is None else None
        self.socket.send_queue.push(encode_event(msgspec.json.encode(subscribed), "subscribed", event_id))
        self._subscriptions.activate(key)

    def open(self, *, ip: str) -> None:
        """Reports the connection of a client, which is online while it follows a channel."""
        self._opened = True
        if self._client is not None:
            self._gateway.presence.enqueue(
                OpenedSocket(
                    connection_id=self.socket.connection_id,
                    tenant_id=self.tenant_id,
                    client_id=self._client.client_id,
                    account=self._client.account,
                    opened_at=now(),
                    ip=ip,
                )
            )
            self._report_heartbeat()

    def _report_heartbeat(self) -> None:
        # The client cannot send any; that the stream can be written to counts as one.
        if self._client is not None:
            self._gateway.presence.record_heartbeat(
                self.socket.connection_id, self.tenant_id, self._client.client_id
            )

    async def end(self) -> None:
        """Releases the session's resources, and reports its end."""
        self._expiry.cancel()
        self.socket.end()
        self._gateway.sessions.remove(self)
        await self._subscriptions.unsubscribe_all()
        self._gateway.bridges.release(self._bridge)
        if self._opened and self._client is not None:
            self._gateway.presence.enqueue(
                ClosedSocket(
                    connection_id=self.socket.connection_id,
                    tenant_id=self.tenant_id,
                    reason=self.socket.close_reason or "disconnected",
                )
            )


async def open_stream(
    request: HttpConnection,
    gateway: Gateway,
    tenant_caller: TenantCaller,
    name: ResolvedSubject,
    query: HistoryQuery,
) -> EventStreamSession:
    """Opens a stream for a request; its `end` must be called. CommandError if it cannot be opened."""
    if not gateway.sessions.accepting:
        raise ServiceUnavailable("the gateway is stopping", retry_after_s=1)
    bridge = await gateway.bridges.acquire(tenant_caller.caller.tenant_id)
    connection = EventConnection(gateway.settings.send_queue_bytes, partial(_abort, request))
    session = EventStreamSession(connection, tenant_caller, bridge, gateway)
    try:
        _register(session, request, gateway)
        await session.start(name, query)
    except BaseException:
        await session.end()
        raise
    session.open(ip=client_ip(request))
    return session


def _register(session: EventStreamSession, request: HttpConnection, gateway: Gateway) -> None:
    if not gateway.sessions.add(session, authenticated_at=authenticated_at(request)):
        raise InvalidToken


def _abort(request: HttpConnection) -> None:
    transport: Any = (request.scope.get("extensions") or {}).get(HTTP_EXTENSION)
    if transport is not None:
        transport.abort()
