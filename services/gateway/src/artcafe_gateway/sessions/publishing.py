"""Publishes a session's messages and sends its requests."""

import asyncio
import time
from functools import partial

import msgspec

from artcafe_common.broker.subjects import ResolvedSubject, SubjectForm, as_is
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import ClientIdentity
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.publish_command import PublishCommand
from artcafe_gateway.delivery.message import (
    MAX_FRAME_BYTES,
    MESSAGE_ID_HEADER,
    TRACE_HEADER,
    UNIQUE_ID_HEADER,
    MessageTooLarge,
    as_json,
    create_unique_id,
)
from artcafe_gateway.errors import PublishUncertain, QuotaExceeded, RateLimited, TooManyRequests
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.acks import Ack
from artcafe_gateway.history.reader import ChannelMessage
from artcafe_gateway.sessions.names import NameResolver
from artcafe_gateway.subscriptions.socket_subscriptions import SocketSubscriptions
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.headers import validate_headers
from artcafe_gateway.wire.socket import Socket

MAX_CACHED_TARGETS = 1000
TARGETS_AGE_S = 30
FLOOD_PAUSE_S = 0.02
_encode = msgspec.json.encode


class Publisher:
    """Publishes in the name of one client, and acknowledges messages that have an id."""

    def __init__(
        self,
        socket: Socket,
        identity: ClientIdentity,
        bridge: Bridge,
        gateway: Gateway,
        names: NameResolver,
        subscriptions: SocketSubscriptions,
    ) -> None:
        self._socket = socket
        self._tenant_id = identity.tenant_id
        self._client_id = identity.client_id
        self._bridge = bridge
        self._gateway = gateway
        self._names = names
        self._subscriptions = subscriptions
        self._has_tracer = gateway.bus.tracer.enabled
        # Targets that the client may publish to, and the commands of those that are subjects.
        self._targets: dict[tuple[str | None, str | None], ResolvedSubject] = {}
        self._commands: dict[str, PublishCommand] = {}
        self._targets_version = 0
        self._targets_expire_at = 0.0
        self._requests: set[asyncio.Task[None]] = set()
        self._unacknowledged = 0

    @property
    def busy(self) -> bool:
        """Whether a request has no reply, or a message no acknowledgement yet."""
        return bool(self._requests) or self._unacknowledged > 0

    def close(self) -> None:
        """Cancel the requests that wait for a reply."""
        for task in tuple(self._requests):
            task.cancel()

    # -- publish -------------------------------------------------------------------------------

    def publish_now(self, received: frames.Publish) -> bool:
        """Publish without awaiting; False when `publish` has to do it."""
        try:
            command = self._find_command(received)
            if command is not None:
                self._bridge.publish_with(command, bytes(received.data))
                return True
            name = self._cached_target(received.subject, received.channel)
            if name is None:
                return False
            acknowledged = received.id is not None and name.channel is not None
            if acknowledged and not self._gateway.history.has_cached_acks(
                self._bridge, has_history=name.has_history
            ):
                return False
            self._publish(received, name)
        except (RateLimited, QuotaExceeded) as error:
            # Reading pauses: rejecting each frame of a flood would slow down the other sockets.
            self._socket.send_error(error, received.id)
            self._socket.send_queue.protocol.pause_reading_for(FLOOD_PAUSE_S)
        except CommandError as error:
            self._socket.reject(error, received)
        return True

    def _find_command(self, received: frames.Publish) -> PublishCommand | None:
        """The command for a message that needs nothing but to be published; None for others, and if it is not known."""
        subject = received.subject
        if (
            subject is None
            or received.id is not None
            or received.message_id is not None
            or received.headers
            or received.channel is not None
            or self._has_tracer
            # It may be the reply to a request that names a subject of the tenant.
            or self._subscriptions.reply_subjects
        ):
            return None
        self._forget_old_targets()
        command = self._commands.get(subject)
        if command is None:
            name = self._targets.get((subject, None))
            if name is not None:
                command = self._commands[subject] = PublishCommand(
                    self._bridge.signer,
                    name.publish_subject,
                    client_id=self._client_id,
                    channel_id=name.channel or "",
                )
        return command

    async def publish(self, received: frames.Publish) -> None:
        """Publish a message; CommandError when it is refused."""
        name = await self._target(received.subject, received.channel)
        if received.id is not None and name.channel is not None:
            await self._gateway.history.get_acks(
                self._bridge, name.publish_subject, has_history=name.has_history
            )
        self._publish(received, name)

    def _publish(self, received: frames.Publish, name: ResolvedSubject) -> None:
        headers = validate_headers(received.headers) if received.headers else None
        unique_id = None
        if received.message_id is not None and name.channel is not None:
            unique_id = self._bridge.signer.unique_id(
                self._client_id, name.publish_subject, received.message_id
            )
            headers = {
                **(headers or {}),
                MESSAGE_ID_HEADER: received.message_id,
                UNIQUE_ID_HEADER: unique_id,
            }
        acks = None
        if received.id is not None and name.channel is not None:
            acks = self._gateway.history.cached_acks(self._bridge)
        if acks is not None and unique_id is None:
            unique_id = create_unique_id()
            headers = {**(headers or {}), UNIQUE_ID_HEADER: unique_id}
        payload = bytes(received.data)
        span = self._gateway.bus.tracer.begin("publish", "producer")
        if span is not None:
            headers = {**(headers or {}), TRACE_HEADER: span.traceparent}
            # Until the broker has the message.
            self._bridge.call_when_flushed(lambda error: span.end(error.code if error else ""))
        block = self._sign(name.publish_subject, payload, headers)
        if acks is not None and unique_id is not None:
            message = ChannelMessage(
                subject=name.publish_subject,
                payload=payload,
                block=block,
                channel_id=name.channel or "",
                client_id=self._client_id,
                unique_id=unique_id,
            )
            self._gateway.history.publish_nowait(
                self._bridge, acks, message, partial(self._on_ack, received.id)
            )
            self._unacknowledged += 1
            return
        self._bridge.publish(
            name.publish_subject,
            payload,
            block,
            client_id=self._client_id,
            channel_id=name.channel or "",
        )
        if received.subject is not None and self._is_unprefixed_reply(received.subject, name):
            # The requester chose a reply subject that spells a name of the tenant; it subscribes to just that.
            block = self._sign(received.subject, payload, headers)
            self._bridge.publish(received.subject, payload, block, client_id=self._client_id)
        if received.id is not None:
            self._unacknowledged += 1
            self._bridge.call_when_flushed(partial(self._on_flushed, received.id))

    def _sign(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> bytes:
        return self._bridge.signer.sign(self._client_id, subject, payload, headers)

    def _is_unprefixed_reply(self, subject: str, name: ResolvedSubject) -> bool:
        return (
            name.form is SubjectForm.BARE
            and subject in self._subscriptions.reply_subjects
            and self._names.may_publish_as_written(subject)
        )

    def _on_flushed(self, frame_id: frames.FrameId, error: CommandError | None) -> None:
        self._unacknowledged -= 1
        if error is None:
            self._socket.send(frames.Published(id=frame_id))
        else:
            self._socket.send_error(PublishUncertain(), frame_id)

    def _on_ack(self, frame_id: frames.FrameId | None, ack: Ack | None) -> None:
        if frame_id is None:
            return
        self._unacknowledged -= 1
        if ack is None:
            self._socket.send_error(PublishUncertain(), frame_id)
        else:
            self._socket.send(frames.Published(id=frame_id, seq=ack.seq, duplicate=ack.duplicate or None))

    # -- request -------------------------------------------------------------------------------

    async def request(self, received: frames.Request) -> None:
        """Send a request, and its reply to the client when it arrives; TooManyRequests, CommandError."""
        name = await self._target(received.subject, None)
        if len(self._requests) >= self._gateway.settings.max_requests:
            raise TooManyRequests
        task = asyncio.create_task(self._await_reply(name, received))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _await_reply(self, name: ResolvedSubject, received: frames.Request) -> None:
        payload = bytes(received.data)
        try:
            reply = await self._bridge.request(
                name.publish_subject,
                payload,
                self._sign(name.publish_subject, payload),
                timeout_s=received.timeout_ms / 1000,
                client_id=self._client_id,
            )
        except CommandError as error:
            self._socket.send_error(error, received.id)
            return
        data = b'{"type":"reply","id":' + _encode(received.id) + b',"data":' + as_json(reply.data) + b"}"
        if len(data) > MAX_FRAME_BYTES:
            self._socket.send_error(MessageTooLarge(), received.id)
            return
        if self._socket.send_queue.push(self._subscriptions.format.wrap(data)):
            self._gateway.usage.record_delivery(self._tenant_id, self._client_id, "", len(reply.data))

    # -- targets -------------------------------------------------------------------------------

    def _cached_target(self, subject: str | None, channel: str | None) -> ResolvedSubject | None:
        """As `_target`, without awaiting; None when a channel has to be looked up."""
        self._forget_old_targets()
        name = self._targets.get((subject, channel))
        if name is None:
            if subject is not None and channel is None and self._subscriptions.reply_subjects.take(subject):
                return as_is(subject)
            name = self._names.cached_target(subject, channel)
            if name is not None:
                self._allow(name, (subject, channel))
        return name

    def _forget_old_targets(self) -> None:
        version, now = self._gateway.lookup_cache.channels_version(self._tenant_id), time.monotonic()
        if version != self._targets_version or now > self._targets_expire_at:
            self._targets.clear()
            self._commands.clear()
            self._targets_version, self._targets_expire_at = version, now + TARGETS_AGE_S

    async def _target(self, subject: str | None, channel: str | None) -> ResolvedSubject:
        """The name to publish to; ForbiddenSubject unless the client may, ChannelNotFound."""
        name = self._cached_target(subject, channel)
        if name is None:
            name = await self._names.resolve_target(subject, channel)
            self._allow(name, (subject, channel))
        return name

    def _allow(self, name: ResolvedSubject, key: tuple[str | None, str | None]) -> None:
        self._names.require_publish(name)
        if self._targets_version != self._gateway.lookup_cache.channels_version(self._tenant_id):
            # The channel may have changed during the lookup.
            return
        if len(self._targets) >= MAX_CACHED_TARGETS:
            self._targets.clear()
            self._commands.clear()
        self._targets[key] = name
