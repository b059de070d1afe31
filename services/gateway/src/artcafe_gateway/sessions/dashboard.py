"""The session of a user's dashboard, `/ws/dashboard`. Dashboard deliveries are not billed."""

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from litestar import WebSocket

from artcafe_common.broker.subjects import BadSubject, resolve
from artcafe_common.bus.caller import set_caller
from artcafe_common.bus.errors import CommandError, Forbidden, InternalError, Unauthenticated
from artcafe_common.clock import now
from artcafe_common.contracts.tenancy.members import TenantRequired
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import (
    AuthenticatedUser,
    TenantUser,
    authenticate,
    read_tenant_header,
    select_tenant,
    validate_tenant_id,
)
from artcafe_gateway.http.problems import reject_handshake
from artcafe_gateway.http.request import bearer_token, caller_of, client_ip
from artcafe_gateway.limits.unauthenticated_sockets import TooManySockets
from artcafe_gateway.reporting.activity import report_access_denied, report_forbidden_frame
from artcafe_gateway.sessions.dispatcher import FrameDispatcher, handles_frame
from artcafe_gateway.sessions.views import ChannelView, DashboardView, TopicPreviewView
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.frame_loop import serve_frames
from artcafe_gateway.wire.parsing import BadFrame
from artcafe_gateway.wire.socket import (
    CLOSE_RESTART,
    CLOSE_REVOKED,
    CLOSE_TRY_LATER,
    CLOSE_UNAUTHENTICATED,
    Socket,
    accept,
)

MAX_CHANNELS = 200
BEARER_SUBPROTOCOL = "bearer"
log = structlog.get_logger()


async def serve(socket: WebSocket[Any, Any, Any], gateway: Gateway) -> None:
    """Open one dashboard's socket, and handle its frames."""
    set_caller(caller_of(socket))
    token, subprotocol = _token(socket)
    try:
        with gateway.unauthenticated_sockets.admit(client_ip(socket)):
            connection = await accept(socket, gateway.settings.send_queue_bytes, subprotocol)
            authenticated_at = time.monotonic()
            opened = await _open(socket, connection, gateway, token)
    except TooManySockets as error:
        await reject_handshake(socket, error)
        return
    if opened is None:
        return
    tenant_user, bridge = opened
    session = DashboardSession(connection, tenant_user, bridge, gateway)

    async def end() -> None:
        try:
            await session.end()
        finally:
            gateway.bridges.release(bridge)

    if gateway.sessions.add(session, authenticated_at=authenticated_at):
        session.begin()
    else:
        connection.close(CLOSE_REVOKED, "revoked")
    await serve_frames(connection, session.decoder, session.dispatch, end)


async def _open(
    socket: WebSocket[Any, Any, Any], connection: Socket, gateway: Gateway, token: str
) -> tuple[TenantUser, Bridge] | None:
    """The user and the tenant's bridge; None after closing the socket."""
    if not gateway.sessions.accepting:
        connection.close(CLOSE_RESTART, "restarting")
        return None
    requested_tenant_id = socket.query_params.get("tenant_id")
    user: AuthenticatedUser | None = None
    try:
        requested_tenant_id = requested_tenant_id or read_tenant_header(socket)
        user = await authenticate(socket, gateway, token)
        tenant_user = await select_tenant(gateway, user, validate_tenant_id(requested_tenant_id))
        return tenant_user, await gateway.bridges.acquire(tenant_user.caller.tenant_id)
    except CommandError as error:
        connection.send_error(error)
        if isinstance(error, Forbidden) and user is not None and requested_tenant_id:
            report_access_denied(
                gateway.denials, user.caller, requested_tenant_id[:64], "GET", socket.scope["path"]
            )
        connection.close(_close_code(error), error.code)
    except Exception:
        log.exception("socket_not_opened", path=socket.scope["path"])
        connection.send_error(InternalError())
        connection.close(CLOSE_TRY_LATER, InternalError.code)
    return None


def _token(socket: WebSocket[Any, Any, Any]) -> tuple[str, str | None]:
    """The bearer token, and the subprotocol to accept.

    A browser cannot set headers on a WebSocket, so the token may be the second of two subprotocols.
    """
    offered = socket.scope["subprotocols"]
    if len(offered) == 2 and offered[0].lower() == BEARER_SUBPROTOCOL:  # noqa: PLR2004 - the pair
        return offered[1], offered[0]
    if token := socket.query_params.get("token"):
        return str(token), None
    try:
        return bearer_token(socket), None
    except Unauthenticated:
        return "", None


def _close_code(error: CommandError) -> int:
    if isinstance(error, TenantRequired):
        return CLOSE_UNAUTHENTICATED
    return {401: CLOSE_UNAUTHENTICATED, 403: CLOSE_REVOKED}.get(error.status, CLOSE_TRY_LATER)


class DashboardSession(FrameDispatcher):
    """An authenticated dashboard's socket."""

    busy = False

    def __init__(self, socket: Socket, tenant_user: TenantUser, bridge: Bridge, gateway: Gateway) -> None:
        self.socket = socket
        self.tenant_id = tenant_user.caller.tenant_id
        self.owner = f"user:{tenant_user.identity.user_id}"
        self.owner_updated_at: datetime | None = None
        self.recorded_until = time.monotonic()
        self._tenant_user = tenant_user
        self._bridge = bridge
        self._gateway = gateway
        # The bridge's subscriptions to release; a subject occurs once for each view of it.
        self._acquired: list[str] = []
        self._views: dict[DashboardView, None] = {}
        self._channel_views: dict[str, ChannelView] = {}
        self._preview: TopicPreviewView | None = None
        socket.on_rejected = partial(report_forbidden_frame, gateway.denials, tenant_user.caller)
        socket.on_error = partial(gateway.usage.record_refusal, self.tenant_id)
        token_lifetime_s = tenant_user.identity.expires_at.timestamp() - time.time()
        self._expiry = asyncio.get_running_loop().call_later(
            max(token_lifetime_s, 0), socket.close, CLOSE_UNAUTHENTICATED, "token_expired"
        )

    @property
    def subscribed_names(self) -> list[str]:
        """The channels that it shows."""
        return [f"channel {channel_id}" for channel_id in self._channel_views]

    async def leave_groups(self) -> None:
        """A dashboard is in no queue group."""

    def begin(self) -> None:
        """Send the welcome, and show events from now on."""
        set_caller(self._tenant_user.caller)
        self.socket.send(
            frames.Welcome(
                connection_id=self.socket.connection_id,
                user_id=self._tenant_user.identity.user_id,
                tenant_id=self.tenant_id,
                server_id=self._gateway.settings.server_id,
                heartbeat_interval_s=self._gateway.settings.heartbeat_interval_s,
            )
        )
        self.socket.send_queue.on_slow_consumer = partial(
            self._gateway.record_slow_consumer, self.owner, self.tenant_id
        )
        self._gateway.dashboard_feed.add_dashboard(self.tenant_id, self.socket)

    async def end(self) -> None:
        """Release the session's resources."""
        self._expiry.cancel()
        self._gateway.dashboard_feed.remove_dashboard(self.tenant_id, self.socket)
        self._gateway.sessions.remove(self)
        for view in self._views:
            view.stop()
        for subject in self._acquired:
            await self._bridge.release_subscription(subject)

    # -- frames --------------------------------------------------------------------------------

    @handles_frame(frames.SubscribeChannel)
    async def handle_subscribe_channel(self, received: frames.SubscribeChannel) -> None:
        """Show a channel's messages."""
        channel = await self._gateway.lookup_cache.channel(received.channel_id, self._tenant_user.caller)
        known = channel.channel_id in self._channel_views
        if not known and len(self._channel_views) >= MAX_CHANNELS:
            raise BadFrame(f"a dashboard can subscribe to at most {MAX_CHANNELS} channels")
        subscription = None if known else await self._acquire_subscription(channel.subject)
        self.socket.send(
            frames.SubscriptionConfirmed(
                subscription="channel", channel_id=channel.channel_id, id=received.id
            )
        )
        if subscription is not None:
            view = ChannelView(self.socket, channel.channel_id, channel.subject, subscription)
            self._channel_views[channel.channel_id] = view
            self._start_view(view)

    @handles_frame(frames.UnsubscribeChannel)
    async def handle_unsubscribe_channel(self, received: frames.UnsubscribeChannel) -> None:
        """Stop showing a channel's messages."""
        channel_id = received.channel_id
        if channel_id not in self._channel_views:
            channel = await self._gateway.lookup_cache.channel(channel_id, self._tenant_user.caller)
            channel_id = channel.channel_id
        view = self._channel_views.pop(channel_id, None)
        if view is not None:
            await self._stop_view(view)
        self.socket.send(
            frames.UnsubscriptionConfirmed(subscription="channel", channel_id=channel_id, id=received.id)
        )

    @handles_frame(frames.SubscribeTopicPreview)
    async def handle_subscribe_topic_preview(self, received: frames.SubscribeTopicPreview) -> None:
        """Show a sample of the tenant's messages, in place of an earlier preview."""
        patterns = self._preview_patterns(received.pattern)
        await self._stop_preview()
        subscriptions: dict[str, BrokerSubscription] = {}
        try:
            for pattern in patterns:
                subscriptions[pattern] = await self._acquire_subscription(pattern)
        except BaseException:
            await self._release(subscriptions)
            raise
        self.socket.send(
            frames.SubscriptionConfirmed(
                subscription="topic_preview", pattern=received.pattern, id=received.id
            )
        )
        self._preview = TopicPreviewView(self.socket, self.tenant_id, subscriptions, received.sample)
        self._start_view(self._preview)

    @handles_frame(frames.UnsubscribeTopicPreview)
    async def handle_unsubscribe_topic_preview(self, received: frames.UnsubscribeTopicPreview) -> None:
        """Stop the preview."""
        await self._stop_preview()
        self.socket.send(frames.UnsubscriptionConfirmed(subscription="topic_preview", id=received.id))

    @handles_frame(frames.Ping)
    async def handle_ping(self, _received: frames.Ping) -> None:
        """Send a pong."""
        self.socket.send(frames.Pong(timestamp=now()))

    # -- views ---------------------------------------------------------------------------------

    def _preview_patterns(self, pattern: str | None) -> tuple[str, ...]:
        roots = ("", "tenant.", "agents.", "channels.")
        if pattern is None or pattern == ">":
            return tuple(f"{root}{self.tenant_id}.>" for root in roots)
        name = resolve(self.tenant_id, pattern, wildcards=True)
        if not name.subscribe_subjects:
            raise BadSubject
        return name.subscribe_subjects

    async def _acquire_subscription(self, subject: str) -> BrokerSubscription:
        subscription = await self._bridge.acquire_confirmed(subject, BrokerSubscription)
        self._acquired.append(subject)
        return subscription

    def _start_view(self, view: DashboardView) -> None:
        self._views[view] = None
        view.start()

    async def _stop_view(self, view: DashboardView) -> None:
        view.stop()
        self._views.pop(view, None)
        await self._release(view.subjects)

    async def _release(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            self._acquired.remove(subject)
            await self._bridge.release_subscription(subject)

    async def _stop_preview(self) -> None:
        preview, self._preview = self._preview, None
        if preview is not None:
            await self._stop_view(preview)
