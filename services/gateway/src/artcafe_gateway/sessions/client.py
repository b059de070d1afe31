"""`/ws/client/{client_id}`: a client's WebSocket, from its challenge to its end."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog
from litestar import WebSocket

from artcafe_common.broker.subjects import (
    ForbiddenSubject,
    ResolvedSubject,
    permitted,
    resolve,
    resolve_channel,
)
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import CommandError
from artcafe_common.clock import now
from artcafe_common.contracts.identity.clients import AuthenticationFailed, ClientIdentity
from artcafe_common.contracts.presence import ClientKind, ConnectionClosed, ConnectionOpened
from artcafe_common.contracts.tenancy.fields import PlanLimitReached
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connection import header_block
from artcafe_gateway.delivery.message import FROM_HEADER, as_json
from artcafe_gateway.errors import (
    HistoryUnavailable,
    QuotaExceeded,
    RateLimited,
    TooManyRequests,
    TooManySubscriptions,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.acks import PublishAcks
from artcafe_gateway.history.reader import HistoryQuery
from artcafe_gateway.http.request import caller_of, client_ip, user_agent
from artcafe_gateway.reporting.activity import report_forbidden_frame
from artcafe_gateway.sessions.handshake import authenticate
from artcafe_gateway.subscriptions.socket_subscriptions import SocketSubscriptions
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.headers import validate_headers
from artcafe_gateway.wire.parsing import BadFrame
from artcafe_gateway.wire.socket import (
    CLOSE_RESTART,
    CLOSE_REVOKED,
    CLOSE_TRY_LATER,
    CLOSE_UNAUTHENTICATED,
    PeerDisconnected,
    Socket,
    accept,
)
from artcafe_gateway.wire.transport import frame

# A publishing client need not send heartbeats besides: its frames count, but not each of them.
IMPLICIT_HEARTBEAT_S = 5.0
MAX_TARGETS = 1000
FLOOD_PAUSE_S = 0.02
log = structlog.get_logger()
_encode = msgspec.json.encode
Prove = Callable[
    [WebSocket[Any, Any, Any], Socket, str, Gateway, CallerContext], Coroutine[Any, Any, ClientIdentity]
]


async def serve(
    socket: WebSocket[Any, Any, Any],
    client_id: str,
    gateway: Gateway,
    *,
    prove: Prove = authenticate,
    session: "type[ClientSession] | None" = None,
) -> None:
    """Run one client's socket until it ends."""
    caller = caller_of(socket)
    set_caller(caller)
    connection = await accept(socket, gateway.settings.send_queue_bytes)
    if not gateway.sessions.accepting:
        connection.close(CLOSE_RESTART, "restarting")
        return
    authenticated_at = time.monotonic()
    try:
        identity = await prove(socket, connection, client_id, gateway, caller)
        bridge = await gateway.bridges.acquire(identity.tenant_id)
    except PeerDisconnected:
        connection.close(CLOSE_UNAUTHENTICATED, "authentication_timeout")
        return
    except AuthenticationFailed as error:
        connection.send_error(error)
        connection.close(CLOSE_UNAUTHENTICATED, error.code)
        return
    except CommandError as error:
        connection.send_error(error)
        connection.close(CLOSE_TRY_LATER, error.code)
        return
    running = (session or ClientSession)(connection, identity, bridge, gateway, caller)
    try:
        await gateway.connection_limit.reserve(identity.tenant_id, connection.connection_id)
        if gateway.sessions.add(running, authenticated_at=authenticated_at):
            await running.run(ip=client_ip(socket), agent=user_agent(socket))
        else:
            connection.close(CLOSE_REVOKED, "revoked")
    except PlanLimitReached as error:
        connection.send_error(error)
        connection.close(CLOSE_TRY_LATER, error.code)
    finally:
        await running.end()
        gateway.bridges.release(bridge)


class ClientSession:
    """An authenticated client's socket."""

    kind = ClientKind.CLIENT
    decoder: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(frames.ClientFrame)

    def __init__(
        self,
        socket: Socket,
        identity: ClientIdentity,
        bridge: Bridge,
        gateway: Gateway,
        caller: CallerContext,
    ) -> None:
        self.socket = socket
        self.tenant_id = identity.tenant_id
        self.owner = f"{self.kind}:{identity.client_id}"
        self.counted_at = time.monotonic()
        self._identity = identity
        self._bridge = bridge
        self._gateway = gateway
        self._caller = msgspec.structs.replace(caller, tenant_id=identity.tenant_id, actor=self.owner)
        socket.on_rejected = partial(report_forbidden_frame, gateway.denials, self._caller)
        self._opened = False
        self._heartbeat_at = time.monotonic()
        self._requests: set[asyncio.Task[None]] = set()
        self._headers = {FROM_HEADER: identity.client_id}
        self._header_block = header_block(self._headers)
        self._targets: dict[tuple[str | None, str | None], ResolvedSubject] = {}
        self._subscriptions = SocketSubscriptions(
            tenant_id=self.tenant_id,
            client_id=identity.client_id,
            send_queue=socket.send_queue,
            bridge=bridge,
            usage=gateway.usage,
            channel_subscribers=gateway.channel_subscribers,
        )

    async def run(self, *, ip: str, agent: str) -> None:
        """Welcome the client and answer its frames until it leaves."""
        set_caller(self._caller)
        settings = self._gateway.settings
        self._opened = True
        self._gateway.presence.announce(
            ConnectionOpened(
                connection_id=self.socket.connection_id,
                tenant_id=self.tenant_id,
                client_id=self._identity.client_id,
                account=self._identity.account,
                server_id=settings.server_id,
                instance=self._gateway.presence.instance,
                ip=ip,
                user_agent=agent,
                kind=self.kind,
            )
        )
        self.socket.send(
            frames.Welcome(
                connection_id=self.socket.connection_id,
                client_id=self._identity.client_id,
                tenant_id=self.tenant_id,
                server_id=settings.server_id,
                heartbeat_interval_s=settings.heartbeat_interval_s,
            )
        )
        self.socket.send_queue.on_slow = self._gateway.metrics.slow_consumers.inc
        self.socket.send_queue.protocol.fast_path = self.handle_fast_path
        await self.socket.serve_frames(self.decoder, self._answer)

    async def end(self) -> None:
        """Leave no trace of the socket."""
        self._gateway.sessions.remove(self)
        self.socket.send_queue.protocol.fast_path = None
        for task in tuple(self._requests):
            task.cancel()
        await self._subscriptions.clear()
        if self._opened:
            self._gateway.presence.announce(
                ConnectionClosed(
                    connection_id=self.socket.connection_id,
                    tenant_id=self.tenant_id,
                    client_id=self._identity.client_id,
                    account=self._identity.account,
                    reason=self.socket.close_reason or "disconnected",
                )
            )

    def _record_activity(self, received: Any) -> None:
        at = self.socket.last_received_at
        if isinstance(received, frames.Heartbeat | frames.Presence):
            self._heartbeat_at = at
            self._gateway.presence.heartbeat(
                self.socket.connection_id,
                self.tenant_id,
                self._identity.client_id,
                status=received.status,
                metrics=received.metrics if isinstance(received, frames.Heartbeat) else None,
                metadata=received.metadata if isinstance(received, frames.Presence) else None,
            )
        elif at - self._heartbeat_at > IMPLICIT_HEARTBEAT_S:
            self._heartbeat_at = at
            self._gateway.presence.heartbeat(
                self.socket.connection_id, self.tenant_id, self._identity.client_id
            )

    async def _answer(self, received: Any) -> None:
        self._record_activity(received)
        match received:
            case frames.Publish():
                name = self._target(received.subject, received.channel)
                if received.id is not None and name.channel is not None:
                    await self._gateway.history.acks(self._bridge, name.publish_subject)
                self._publish(received, name)
            case frames.Heartbeat():
                self.socket.send(frames.HeartbeatAck(timestamp=now()))
            case frames.Ping():
                self.socket.send(frames.Pong(timestamp=now()))
            case frames.Subscribe():
                await self._subscribe(received)
            case frames.Unsubscribe():
                await self._unsubscribe(received)
            case frames.Request():
                await self._request(received)

    # -- publish and request -------------------------------------------------------------------

    def plain(self, received: Any) -> Any:
        """A publish in the one form that is understood here; anything else as it is."""
        return received

    def handle_fast_path(self, data: bytes) -> bool:
        """Publish without waking this session's task; False leaves the message to it."""
        try:
            str(data, "utf-8")
            received = self.plain(self.decoder.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadFrame):
            return False
        if type(received) is not frames.Publish:
            return False
        self.socket.last_received_at = time.monotonic()
        self._record_activity(received)
        try:
            name = self._target(received.subject, received.channel)
            kept = received.id is not None and name.channel is not None
            if kept and not self._gateway.history.known(self._bridge):
                return False
            self._publish(received, name)
        except (RateLimited, QuotaExceeded) as error:
            # Who floods is not read for a moment: refusing each message would cost the others.
            self.socket.send_error(error, received.id)
            self.socket.send_queue.protocol.pause_reading_for(FLOOD_PAUSE_S)
        except CommandError as error:
            self.socket.reject(error, received)
        return True

    def _publish(self, received: frames.Publish, name: ResolvedSubject) -> None:
        headers = self._header_block
        if received.headers:
            headers = header_block(validate_headers(received.headers) | self._headers)
        acks = None
        if received.id is not None and name.channel is not None:
            acks = self._gateway.history.cached_acks(self._bridge)
        reply = acks.expect(partial(self._published, received.id)) if acks is not None else ""
        try:
            self._bridge.publish(
                name.publish_subject,
                bytes(received.data),
                headers,
                client_id=self._identity.client_id,
                channel_id=name.channel or "",
                reply=reply,
            )
        except CommandError:
            if acks is not None:
                acks.cancel(reply)
            raise
        if received.id is not None:
            self._bridge.call_when_flushed(partial(self._acknowledge, received.id, acks, reply))

    def _acknowledge(
        self, frame_id: frames.FrameId, acks: PublishAcks | None, reply: str, problem: CommandError | None
    ) -> None:
        if acks is not None and problem is None:
            acks.cancel_after_grace(reply)
        elif acks is None and problem is None:
            self._published(frame_id, None)
        elif problem is not None and (acks is None or acks.cancel(reply)):
            self.socket.send_error(problem, frame_id)

    def _published(self, frame_id: frames.FrameId | None, seq: int | None) -> None:
        if frame_id is not None:
            self.socket.send(frames.Published(id=frame_id, seq=seq))

    async def _request(self, received: frames.Request) -> None:
        name = self._target(received.subject, None)
        if len(self._requests) >= self._gateway.settings.max_requests:
            raise TooManyRequests
        _spawn(self._requests, self._await_reply(name, received))

    async def _await_reply(self, name: ResolvedSubject, received: frames.Request) -> None:
        try:
            reply = await self._bridge.request(
                name.publish_subject,
                bytes(received.data),
                self._headers,
                timeout_s=received.timeout_ms / 1000,
                client_id=self._identity.client_id,
            )
        except CommandError as error:
            self.socket.send_error(error, received.id)
            return
        data = b'{"type":"reply","id":' + _encode(received.id) + b',"data":' + as_json(reply.data) + b"}"
        if self.socket.send_queue.push(frame(data)):
            self._gateway.usage.delivered(self.tenant_id, self._identity.client_id, "", len(reply.data))

    # -- subscribe -----------------------------------------------------------------------------

    async def _subscribe(self, received: frames.Subscribe) -> None:
        name = self._name(received.subject, received.channel, wildcards=True)
        wanted = _wanted(received)
        if wanted is not None and name.channel is None:
            raise HistoryUnavailable
        self._require(self._identity.permissions.subscribe, name.subscribe_subjects)
        if not name.subscribe_subjects:
            raise ForbiddenSubject
        if len(self._subscriptions.names) >= self._gateway.settings.max_subscriptions:
            raise TooManySubscriptions
        reply = frames.Subscribed(subject=received.subject, channel=received.channel, id=received.id)
        key = _key(received.subject, received.channel)
        if wanted is None:
            await self._subscriptions.add(key, name)
        else:
            await self._subscriptions.follow(key, name, wanted)
        self.socket.send(reply)
        self._subscriptions.activate(key)

    async def _unsubscribe(self, received: frames.Unsubscribe) -> None:
        self._name(received.subject, received.channel, wildcards=True)
        await self._subscriptions.remove(_key(received.subject, received.channel))
        self.socket.send(
            frames.Unsubscribed(subject=received.subject, channel=received.channel, id=received.id)
        )

    # -- names ---------------------------------------------------------------------------------

    def _name(self, subject: str | None, channel: str | None, *, wildcards: bool) -> ResolvedSubject:
        if (subject is None) == (channel is None):
            raise BadFrame("give either a subject or a channel")
        if channel is not None:
            return resolve_channel(self.tenant_id, channel, wildcards=False)
        return resolve(self.tenant_id, subject or "", wildcards=wildcards)

    def _target(self, subject: str | None, channel: str | None) -> ResolvedSubject:
        """Where a publish goes, checked; what was checked once is remembered, within bounds."""
        key = (subject, channel)
        name = self._targets.get(key)
        if name is None:
            name = self._name(subject, channel, wildcards=False)
            if name.publish_subject in self._subscriptions.reply_subjects:
                return name
            self._require(self._identity.permissions.publish, (name.publish_subject,))
            if len(self._targets) >= MAX_TARGETS:
                self._targets.clear()
            self._targets[key] = name
        return name

    def _require(self, patterns: list[str], subjects: tuple[str, ...]) -> None:
        if not permitted(self.tenant_id, patterns, subjects):
            raise ForbiddenSubject


def _key(subject: str | None, channel: str | None) -> str:
    return f"channel {channel}" if channel is not None else f"subject {subject}"


def _wanted(received: frames.Subscribe) -> HistoryQuery | None:
    if received.since is None and received.last is None:
        return None
    return HistoryQuery(since=None if received.since is None else str(received.since), last=received.last)


def _spawn(tasks: set[asyncio.Task[None]], job: Any) -> None:
    task = asyncio.create_task(job)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
