"""Publishes a session's messages and sends its requests."""

import asyncio
from functools import partial

import msgspec

from artcafe_common.broker.subjects import ResolvedSubject
from artcafe_common.bus.errors import CommandError
from artcafe_common.contracts.identity.clients import ClientIdentity
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.connection import encode_headers
from artcafe_gateway.delivery.message import FROM_HEADER, as_json
from artcafe_gateway.errors import QuotaExceeded, RateLimited, TooManyRequests
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.acks import PublishAcks
from artcafe_gateway.sessions.names import NameResolver
from artcafe_gateway.subscriptions.socket_subscriptions import SocketSubscriptions
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.headers import validate_headers
from artcafe_gateway.wire.socket import Socket
from artcafe_gateway.wire.transport import text_frame

MAX_CACHED_TARGETS = 1000
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
        self._headers = {FROM_HEADER: identity.client_id}
        self._header_block = encode_headers(self._headers)
        # Targets that the client may publish to.
        self._targets: dict[tuple[str | None, str | None], ResolvedSubject] = {}
        self._requests: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Cancel the requests that wait for a reply."""
        for task in tuple(self._requests):
            task.cancel()

    # -- publish -------------------------------------------------------------------------------

    def publish_now(self, received: frames.Publish) -> bool:
        """Publish without awaiting; False when `publish` has to do it."""
        try:
            name = self._target(received.subject, received.channel)
            acknowledged = received.id is not None and name.channel is not None
            if acknowledged and not self._gateway.history.has_cached_acks(self._bridge):
                return False
            self._publish(received, name)
        except (RateLimited, QuotaExceeded) as error:
            # Reading pauses: rejecting each frame of a flood would slow down the other sockets.
            self._socket.send_error(error, received.id)
            self._socket.send_queue.protocol.pause_reading_for(FLOOD_PAUSE_S)
        except CommandError as error:
            self._socket.reject(error, received)
        return True

    async def publish(self, received: frames.Publish) -> None:
        """Publish a message; CommandError when it is refused."""
        name = self._target(received.subject, received.channel)
        if received.id is not None and name.channel is not None:
            await self._gateway.history.get_acks(self._bridge, name.publish_subject)
        self._publish(received, name)

    def _publish(self, received: frames.Publish, name: ResolvedSubject) -> None:
        headers = self._header_block
        if received.headers:
            headers = encode_headers(validate_headers(received.headers) | self._headers)
        acks = None
        if received.id is not None and name.channel is not None:
            acks = self._gateway.history.cached_acks(self._bridge)
        reply = acks.register(partial(self._acknowledge, received.id)) if acks is not None else ""
        try:
            self._bridge.publish(
                name.publish_subject,
                bytes(received.data),
                headers,
                client_id=self._client_id,
                channel_id=name.channel or "",
                reply=reply,
            )
        except CommandError:
            if acks is not None:
                acks.cancel(reply)
            raise
        if received.id is not None:
            self._bridge.call_when_flushed(partial(self._on_flushed, received.id, acks, reply))

    def _on_flushed(
        self, frame_id: frames.FrameId, acks: PublishAcks | None, reply: str, error: CommandError | None
    ) -> None:
        if acks is not None and error is None:
            acks.start_timeout(reply)
        elif acks is None and error is None:
            self._acknowledge(frame_id, None)
        elif error is not None and (acks is None or acks.cancel(reply)):
            self._socket.send_error(error, frame_id)

    def _acknowledge(self, frame_id: frames.FrameId | None, seq: int | None) -> None:
        if frame_id is not None:
            self._socket.send(frames.Published(id=frame_id, seq=seq))

    # -- request -------------------------------------------------------------------------------

    def request(self, received: frames.Request) -> None:
        """Send a request, and its reply to the client when it arrives; TooManyRequests, CommandError."""
        name = self._target(received.subject, None)
        if len(self._requests) >= self._gateway.settings.max_requests:
            raise TooManyRequests
        task = asyncio.create_task(self._await_reply(name, received))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _await_reply(self, name: ResolvedSubject, received: frames.Request) -> None:
        try:
            reply = await self._bridge.request(
                name.publish_subject,
                bytes(received.data),
                self._headers,
                timeout_s=received.timeout_ms / 1000,
                client_id=self._client_id,
            )
        except CommandError as error:
            self._socket.send_error(error, received.id)
            return
        data = b'{"type":"reply","id":' + _encode(received.id) + b',"data":' + as_json(reply.data) + b"}"
        if self._socket.send_queue.push(text_frame(data)):
            self._gateway.usage.record_delivery(self._tenant_id, self._client_id, "", len(reply.data))

    # -- targets -------------------------------------------------------------------------------

    def _target(self, subject: str | None, channel: str | None) -> ResolvedSubject:
        """The name to publish to; ForbiddenSubject unless the client may."""
        key = (subject, channel)
        name = self._targets.get(key)
        if name is None:
            name = self._names.resolve(subject, channel, wildcards=False)
            if name.publish_subject in self._subscriptions.reply_subjects:
                return name
            self._names.require_publish(name)
            if len(self._targets) >= MAX_CACHED_TARGETS:
                self._targets.clear()
            self._targets[key] = name
        return name
