"""The session of a client's WebSocket, `/ws/client/{client_id}`."""

import time
from functools import partial
from typing import Any, ClassVar

import msgspec

from artcafe_common.broker.subjects import validate_queue
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.clock import now
from artcafe_common.contracts.identity.clients import ClientIdentity
from artcafe_common.contracts.presence import ClientKind, ClosedSocket, OpenedSocket, parse_status
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.errors import (
    BadStatus,
    HistoryUnavailable,
    QueueHasNoHistory,
    TooManySubscriptions,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import HistoryQuery
from artcafe_gateway.reporting.activity import report_forbidden_frame
from artcafe_gateway.sessions.dispatcher import FrameDispatcher, handles_frame
from artcafe_gateway.sessions.names import NameResolver
from artcafe_gateway.sessions.publishing import Publisher
from artcafe_gateway.sessions.roster import RosterAnswerer
from artcafe_gateway.subscriptions.formats import BATCH_FORMAT, WEBSOCKET_FORMAT
from artcafe_gateway.subscriptions.socket_subscriptions import SocketSubscriptions
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.parsing import BadFrame
from artcafe_gateway.wire.socket import Socket
from artcafe_gateway.wire.text_frames import BATCH_PROTOCOL

# Any frame counts as a heartbeat, but is reported at most once in this interval.
IMPLICIT_HEARTBEAT_S = 5.0


class ClientSession(FrameDispatcher):
    """An authenticated client's socket."""

    kind = ClientKind.CLIENT
    # The WebSocket subprotocols that may be chosen.
    subprotocols: ClassVar[tuple[str, ...]] = (BATCH_PROTOCOL,)

    def __init__(
        self,
        socket: Socket,
        identity: ClientIdentity,
        bridge: Bridge,
        gateway: Gateway,
        caller: CallerContext,
        names: NameResolver | None = None,
    ) -> None:
        self.socket = socket
        self.tenant_id = identity.tenant_id
        self.owner = f"{self.kind}:{identity.client_id}"
        self.owner_updated_at = identity.updated_at
        self.recorded_until = time.monotonic()
        self._identity = identity
        self._gateway = gateway
        self._caller = msgspec.structs.replace(caller, tenant_id=identity.tenant_id, actor=self.owner)
        self._names = names or NameResolver(identity, gateway.lookup_cache)
        self._opened = False
        self._heartbeat_at = time.monotonic()
        self._subscriptions = SocketSubscriptions(
            tenant_id=self.tenant_id,
            client_id=identity.client_id,
            send_queue=socket.send_queue,
            bridge=bridge,
            usage=gateway.usage,
            channel_subscribers=gateway.channel_subscribers,
            may_publish=self._names.may_publish_as_written,
            close_socket=socket.close,
            format_=BATCH_FORMAT if socket.is_batch else WEBSOCKET_FORMAT,
        )
        self._roster = RosterAnswerer(socket, self.tenant_id, gateway)
        self._publisher = Publisher(socket, identity, bridge, gateway, self._names, self._subscriptions)
        socket.on_rejected = partial(report_forbidden_frame, gateway.denials, self._caller)
        socket.on_error = partial(gateway.usage.record_refusal, self.tenant_id)

    @property
    def subscribed_names(self) -> list[str]:
        """The names that it subscribes to: a subject, or `channel` or `queue` and more words."""
        return [key.removeprefix("subject ") for key in self._subscriptions.names]

    @property
    def busy(self) -> bool:
        """Whether a frame of the client is not answered yet."""
        return self._publisher.busy

    def begin(self, *, ip: str) -> None:
        """Send the welcome."""
        set_caller(self._caller)
        settings = self._gateway.settings
        self._opened = True
        self._gateway.presence.enqueue(
            OpenedSocket(
                connection_id=self.socket.connection_id,
                tenant_id=self.tenant_id,
                client_id=self._identity.client_id,
                account=self._identity.account,
                opened_at=now(),
                ip=ip,
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
        self.socket.send_queue.on_slow_consumer = partial(
            self._gateway.record_slow_consumer, self.owner, self.tenant_id
        )
        self.socket.send_queue.protocol.fast_path = self.handle_fast_path

    async def leave_groups(self) -> None:
        """Leave the queue groups before the socket is closed, so that no message of theirs is lost."""
        await self._subscriptions.leave_groups()

    async def end(self) -> None:
        """Release the session's resources, and report its end."""
        self._gateway.sessions.remove(self)
        self.socket.send_queue.protocol.fast_path = None
        self._publisher.close()
        await self._subscriptions.unsubscribe_all()
        if self._opened:
            self._gateway.presence.enqueue(
                ClosedSocket(
                    connection_id=self.socket.connection_id,
                    tenant_id=self.tenant_id,
                    reason=self.socket.close_reason or "disconnected",
                )
            )

    async def dispatch(self, received: Any) -> None:
        self._report_implicit_heartbeat()
        await super().dispatch(received)

    def handle_fast_path(self, data: bytes) -> bool:
        """Handle a publish without waking this session's task; False leaves the frame to the task."""
        try:
            if not data.isascii():
                str(data, "utf-8")
            received = self._decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadFrame):
            return False
        if type(received) is not frames.Publish:
            return False
        self.socket.last_received_at = self.socket.send_queue.protocol.last_received_at
        self._report_implicit_heartbeat()
        return self._publisher.publish_now(received)

    def _decode(self, data: bytes) -> Any:
        """A frame; a publish is always a `frames.Publish`."""
        return self.decoder.decode(data)

    # -- heartbeats ----------------------------------------------------------------------------

    def _report_implicit_heartbeat(self) -> None:
        if self.socket.last_received_at - self._heartbeat_at > IMPLICIT_HEARTBEAT_S:
            self._report_heartbeat()

    def _report_heartbeat(
        self,
        *,
        status: str | None = None,
        metrics: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        capabilities: list[Any] | None = None,
    ) -> None:
        self._heartbeat_at = self.socket.last_received_at
        self._gateway.presence.record_heartbeat(
            self.socket.connection_id,
            self.tenant_id,
            self._identity.client_id,
            status=status,
            metrics=metrics,
            metadata=metadata,
            capabilities=capabilities,
        )

    @handles_frame(frames.Heartbeat)
    async def handle_heartbeat(self, received: frames.Heartbeat) -> None:
        """Report the client's status and metrics."""
        self._report_heartbeat(status=_require_known(received.status), metrics=received.metrics)
        self.socket.send(frames.HeartbeatAck(timestamp=now()))

    @handles_frame(frames.Ping)
    async def handle_ping(self, _received: frames.Ping) -> None:
        """Send a pong."""
        self.socket.send(frames.Pong(timestamp=now()))

    # -- subscriptions -------------------------------------------------------------------------

    @handles_frame(frames.Subscribe)
    async def handle_subscribe(self, received: frames.Subscribe) -> None:
        """Subscribe to a subject or a channel, with its history if that is requested."""
        name = await self._names.resolve(received.subject, received.channel, wildcards=True)
        history = _history_query(received)
        if received.queue is not None:
            validate_queue(received.queue)
            if history is not None:
                raise QueueHasNoHistory
        if history is not None and name.channel is None:
            raise HistoryUnavailable
        self._names.require_subscribe(name)
        if len(self._subscriptions.names) >= self._gateway.settings.max_subscriptions:
            raise TooManySubscriptions
        position = None
        key = _subscription_key(received)
        subscribed = self._subscriptions.names.get(key)
        if subscribed is not None and subscribed.publish_subject != name.publish_subject:
            # Another channel has the name now.
            await self._subscriptions.unsubscribe(key)
        if history is None:
            await self._subscriptions.subscribe(key, name, received.queue or "")
        else:
            position = await self._subscriptions.subscribe_from(key, name, history)
        self.socket.send(
            frames.Subscribed(
                subject=received.subject,
                channel=received.channel,
                id=received.id,
                queue=received.queue,
                gap=True if position is not None and position.gap is not None else None,
                seq=None if position is None else position.after_seq,
                channel_id=None
                if name.channel == received.channel or received.channel is None
                else name.channel,
            )
        )
        self._subscriptions.activate(key)

    @handles_frame(frames.Unsubscribe)
    async def handle_unsubscribe(self, received: frames.Unsubscribe) -> None:
        """End a subscription."""
        key = _subscription_key(received)
        if key not in self._subscriptions.names:
            await self._names.resolve(received.subject, received.channel, wildcards=True)
        await self._subscriptions.unsubscribe(key)
        self.socket.send(
            frames.Unsubscribed(
                subject=received.subject, channel=received.channel, id=received.id, queue=received.queue
            )
        )

    @handles_frame(frames.ListRoster)
    async def handle_roster(self, received: frames.ListRoster) -> None:
        """Answer with a page of the roster."""
        await self._roster.answer(received)

    # -- messages and presence -----------------------------------------------------------------

    @handles_frame(frames.Publish)
    async def handle_publish(self, received: frames.Publish) -> None:
        """Publish a message."""
        await self._publisher.publish(received)

    @handles_frame(frames.Request)
    async def handle_request(self, received: frames.Request) -> None:
        """Send a request; the reply is sent to the client when it arrives."""
        await self._publisher.request(received)

    @handles_frame(frames.Presence)
    async def handle_presence(self, received: frames.Presence) -> None:
        """Report the client's status, capabilities and metadata."""
        capabilities = received.capabilities if isinstance(received.capabilities, list) else None
        self._report_heartbeat(
            status=_require_known(received.status), metadata=received.metadata, capabilities=capabilities
        )


def _require_known(status: str | None) -> str | None:
    """The status; BadStatus for one that is none of ReportedStatus."""
    if status is None:
        return None
    known = parse_status(status)
    if known is None:
        raise BadStatus
    return known.value


def _subscription_key(frame: frames.Subscribe | frames.Unsubscribe) -> str:
    name = f"channel {frame.channel}" if frame.channel is not None else f"subject {frame.subject}"
    return name if frame.queue is None else f"queue {frame.queue} {name}"


def _history_query(received: frames.Subscribe) -> HistoryQuery | None:
    if received.since is None and received.last is None:
        return None
    return HistoryQuery(since=None if received.since is None else str(received.since), last=received.last)
