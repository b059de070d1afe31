"""`/ws/dashboard`: a person looks on. Nothing that is shown here is counted as a delivery."""

import asyncio
import time
from functools import partial
from typing import Any

from litestar import WebSocket

from artcafe_common.broker.subjects import BadSubject, resolve
from artcafe_common.bus.caller import set_caller
from artcafe_common.bus.errors import CommandError, Forbidden, Unauthenticated
from artcafe_common.clock import now
from artcafe_common.contracts.tenancy.members import TenantRequired
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import (
    AuthenticatedUser,
    TenantUser,
    authenticate,
    select_tenant,
    validate_tenant_id,
)
from artcafe_gateway.http.request import bearer, caller_of
from artcafe_gateway.reporting.activity import report_access_denied, report_forbidden_frame
from artcafe_gateway.sessions.dispatcher import FrameDispatcher, handles_frame
from artcafe_gateway.sessions.views import ChannelView, DashboardView, PresenceView, TopicPreviewView
from artcafe_gateway.wire import frames
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
SUBPROTOCOL = "bearer"


async def serve(socket: WebSocket[Any, Any, Any], gateway: Gateway) -> None:
    """Run one dashboard's socket until it ends."""
    set_caller(caller_of(socket))
    token, subprotocol = _token(socket)
    connection = await accept(socket, gateway.settings.send_queue_bytes, subprotocol)
    if not gateway.sessions.accepting:
        connection.close(CLOSE_RESTART, "restarting")
        return
    authenticated_at = time.monotonic()
    chosen = socket.query_params.get("tenant_id") or socket.headers.get("x-tenant-id")
    someone: AuthenticatedUser | None = None
    try:
        someone = await authenticate(socket, gateway, token)
        member = await select_tenant(gateway, someone, validate_tenant_id(chosen))
        bridge = await gateway.bridges.acquire(member.caller.tenant_id)
    except CommandError as error:
        connection.send_error(error)
        if isinstance(error, Forbidden) and someone is not None and chosen:
            report_access_denied(gateway.denials, someone.caller, chosen[:64], "GET", socket.scope["path"])
        code = {401: CLOSE_UNAUTHENTICATED, 403: CLOSE_REVOKED}.get(error.status, CLOSE_TRY_LATER)
        connection.close(CLOSE_UNAUTHENTICATED if isinstance(error, TenantRequired) else code, error.code)
        return
    session = DashboardSession(connection, member, bridge, gateway)
    try:
        if gateway.sessions.add(session, authenticated_at=authenticated_at):
            await session.run()
        else:
            connection.close(CLOSE_REVOKED, "revoked")
    finally:
        await session.end()
        gateway.bridges.release(bridge)


def _token(socket: WebSocket[Any, Any, Any]) -> tuple[str, str | None]:
    """The bearer token and the subprotocol to accept; browsers can send no header, hence the pair."""
    offered = socket.scope["subprotocols"]
    if len(offered) == 2 and offered[0].lower() == SUBPROTOCOL:  # noqa: PLR2004 - the pair
        return offered[1], offered[0]
    if token := socket.query_params.get("token"):
        return str(token), None
    try:
        return bearer(socket), None
    except Unauthenticated:
        return "", None


class DashboardSession(FrameDispatcher):
    """An authenticated dashboard's socket."""

    def __init__(self, socket: Socket, member: TenantUser, bridge: Bridge, gateway: Gateway) -> None:
        self.socket = socket
        self.tenant_id = member.caller.tenant_id
        self.owner = f"user:{member.user.user_id}"
        self.counted_at = time.monotonic()
        self._member = member
        self._bridge = bridge
        self._gateway = gateway
        self._held: list[str] = []
        self._looks: dict[DashboardView, None] = {}
        self._channels: dict[str, ChannelView] = {}
        self._preview: TopicPreviewView | None = None
        socket.on_rejected = partial(report_forbidden_frame, gateway.denials, member.caller)
        lifetime = member.user.expires_at.timestamp() - time.time()
        self._expiry = asyncio.get_running_loop().call_later(
            max(lifetime, 0), socket.close, CLOSE_UNAUTHENTICATED, "token_expired"
        )

    async def run(self) -> None:
        """Welcome the dashboard and answer its frames until it leaves."""
        set_caller(self._member.caller)
        notices = f"tenant.{self.tenant_id}.presence.*"
        self._look(PresenceView(self.socket, notices, await self._hold(notices)))
        self.socket.send(
            frames.Welcome(
                connection_id=self.socket.connection_id,
                user_id=self._member.user.user_id,
                tenant_id=self.tenant_id,
                server_id=self._gateway.settings.server_id,
                heartbeat_interval_s=self._gateway.settings.heartbeat_interval_s,
            )
        )
        self._gateway.activity_feed.add_dashboard(self.tenant_id, self.socket)
        await self.socket.serve_frames(self.decoder, self.dispatch)

    async def end(self) -> None:
        """Leave no trace of the socket."""
        self._expiry.cancel()
        self._gateway.activity_feed.remove_dashboard(self.tenant_id, self.socket)
        self._gateway.sessions.remove(self)
        for look in self._looks:
            look.end()
        for subject in self._held:
            await self._bridge.release_subscription(subject)

    @handles_frame(frames.SubscribeChannel)
    async def handle_subscribe_channel(self, received: frames.SubscribeChannel) -> None:
        """Show a channel's messages."""
        channel = await self._gateway.lookup_cache.channel(received.channel_id, self._member.caller)
        known = channel.channel_id in self._channels
        if not known and len(self._channels) >= MAX_CHANNELS:
            raise BadFrame(f"a dashboard looks at {MAX_CHANNELS} channels at most")
        route = None if known else await self._hold(channel.subject)
        self.socket.send(
            frames.SubscriptionConfirmed(
                subscription="channel", channel_id=channel.channel_id, id=received.id
            )
        )
        if route is not None:
            view = ChannelView(self.socket, channel.channel_id, channel.subject, route)
            self._channels[channel.channel_id] = view
            self._look(view)

    @handles_frame(frames.UnsubscribeChannel)
    async def handle_unsubscribe_channel(self, received: frames.UnsubscribeChannel) -> None:
        """Stop showing a channel's messages."""
        view = self._channels.pop(received.channel_id, None)
        if view is not None:
            await self._end(view)
        self.socket.send(
            frames.UnsubscriptionConfirmed(
                subscription="channel", channel_id=received.channel_id, id=received.id
            )
        )

    @handles_frame(frames.SubscribeTopicPreview)
    async def handle_subscribe_topic_preview(self, received: frames.SubscribeTopicPreview) -> None:
        """Show a sample of the tenant's messages, in place of an earlier preview."""
        patterns = self._patterns(received.pattern)
        await self._end_preview()
        routes = {pattern: await self._hold(pattern) for pattern in patterns}
        self.socket.send(
            frames.SubscriptionConfirmed(
                subscription="topic_preview", pattern=received.pattern, id=received.id
            )
        )
        self._preview = TopicPreviewView(self.socket, self.tenant_id, routes, received.sample)
        self._look(self._preview)

    @handles_frame(frames.UnsubscribeTopicPreview)
    async def handle_unsubscribe_topic_preview(self, received: frames.UnsubscribeTopicPreview) -> None:
        """Stop the preview."""
        await self._end_preview()
        self.socket.send(frames.UnsubscriptionConfirmed(subscription="topic_preview", id=received.id))

    @handles_frame(frames.Ping)
    async def handle_ping(self, _received: frames.Ping) -> None:
        """Send a pong."""
        self.socket.send(frames.Pong(timestamp=now()))

    async def _end_preview(self) -> None:
        preview, self._preview = self._preview, None
        if preview is not None:
            await self._end(preview)

    def _patterns(self, pattern: str | None) -> tuple[str, ...]:
        roots = ("", "tenant.", "agents.", "channels.")
        if pattern is None or pattern == ">":
            return tuple(f"{root}{self.tenant_id}.>" for root in roots)
        name = resolve(self.tenant_id, pattern, wildcards=True)
        if not name.subscribe_subjects:
            raise BadSubject
        return name.subscribe_subjects

    async def _hold(self, subject: str) -> BrokerSubscription:
        route = await self._bridge.acquire_subscription(subject, BrokerSubscription)
        self._held.append(subject)
        await self._bridge.confirm_subscription(route)
        return route

    def _look(self, look: DashboardView) -> None:
        self._looks[look] = None
        look.begin()

    async def _end(self, look: DashboardView) -> None:
        look.end()
        self._looks.pop(look, None)
        for subject in look.subjects:
            self._held.remove(subject)
            await self._bridge.release_subscription(subject)
