"""The composition root of the gateway: builds its parts, and starts them in order."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.activity_reporting import DenialReporter
from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.tenancy.activity import ActivityRecorded
from artcafe_common.contracts.tenancy.events import AgentRevoked, ClientRevoked, MembershipChanged
from artcafe_common.cursors import CursorCodec
from artcafe_common.lifecycle import run_background, run_periodically, wait_until_available
from artcafe_common.settings import read_secret
from artcafe_common.storage.rate_limiter import RateLimiter
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.api import create_api
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import HistoryReader
from artcafe_gateway.http.idempotency_store import IdempotencyStore
from artcafe_gateway.limits.connection_limit import ConnectionLimit
from artcafe_gateway.limits.handshake_limiter import HandshakeLimiter
from artcafe_gateway.limits.quotas import Quotas
from artcafe_gateway.limits.rate_limits import RateLimits
from artcafe_gateway.lookup_cache import LookupCache
from artcafe_gateway.reporting.activity import ActivityFeed
from artcafe_gateway.reporting.channel_subscribers import ChannelSubscriberTracker
from artcafe_gateway.reporting.metrics import Metrics
from artcafe_gateway.reporting.presence import PresenceReporter
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.server import serve_http
from artcafe_gateway.session_registry import TICK_S, SessionRegistry
from artcafe_gateway.settings import Settings

IDLE_CHECK_S = 5
QUOTA_CHECK_S = 30
PRESENCE_S = 1


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Run the gateway.

    It serves HTTP, and reports its health, before the broker is reachable. On exit it closes the sessions,
    then sends the queued presence and usage reports.
    """
    async with AsyncExitStack() as stack:
        nc = Nats()
        stack.push_async_callback(_disconnect, nc)
        redis = RedisClient(settings.redis_url)
        stack.push_async_callback(redis.close)
        idempotency_store = IdempotencyStore(redis, read_secret(settings.keys_dir / "answers.key"))
        gateway = _build_gateway(settings, Bus(nc, service="gateway"), redis)
        stack.push_async_callback(gateway.usage.flush)
        stack.push_async_callback(gateway.bridges.close)
        stack.push_async_callback(gateway.presence.drain)
        await stack.enter_async_context(serve_http(create_api(gateway, idempotency_store), settings))
        stack.push_async_callback(gateway.sessions.drain)

        async def refresh_caches() -> None:
            # Events may have been missed while the broker was unreachable.
            gateway.lookup_cache.clear()
            await gateway.quotas.refresh_all()

        await connect(
            settings.nats_url,
            settings.keys_dir / "gateway.creds",
            name="gateway",
            on_reconnect=refresh_caches,
            nc=nc,
        )
        await wait_until_available("events", gateway.bus.ensure_events_stream)
        await gateway.lookup_cache.subscribe()
        await gateway.quotas.subscribe()
        await gateway.bus.subscribe(ClientRevoked, gateway.sessions.on_client_revoked)
        await gateway.bus.subscribe(AgentRevoked, gateway.sessions.on_agent_revoked)
        await gateway.bus.subscribe(MembershipChanged, gateway.sessions.on_membership_changed)
        await gateway.bus.subscribe(ActivityRecorded, gateway.activity_feed.publish)
        await gateway.channel_subscribers.subscribe()
        await nc.flush()
        await stack.enter_async_context(
            run_background(
                gateway.presence.run(),
                run_periodically(TICK_S, gateway.sessions.tick, name="sessions"),
                run_periodically(PRESENCE_S, gateway.presence.send_heartbeats, name="presence"),
                run_periodically(settings.usage_interval_s, gateway.usage.flush, name="usage"),
                run_periodically(QUOTA_CHECK_S, gateway.quotas.refresh_all, name="quotas"),
                run_periodically(IDLE_CHECK_S, gateway.bridges.close_idle, name="bridges"),
                run_periodically(IDLE_CHECK_S, gateway.denials.flush, name="denials"),
            )
        )
        gateway.sessions.accepting = True
        yield


def _build_gateway(settings: Settings, bus: Bus, redis: RedisClient) -> Gateway:
    lookup_cache = LookupCache(bus)
    bridges = BridgePool(bus=bus, settings=settings)
    quotas = Quotas(bus, lookup_cache, bridges)
    bridges.before_use = quotas.refresh
    usage = UsageRecorder(bus=bus, bridges=bridges, server_id=settings.server_id)
    bridges.before_close = usage.flush_bridge
    presence = PresenceReporter(bus=bus, server_id=settings.server_id)
    return Gateway(
        settings=settings,
        bus=bus,
        redis=redis,
        rate_limits=RateLimits(RateLimiter(redis), settings),
        connection_limit=ConnectionLimit(bus, lookup_cache),
        quotas=quotas,
        lookup_cache=lookup_cache,
        bridges=bridges,
        sessions=SessionRegistry(
            usage=usage, timeout_s=settings.heartbeat_timeout_s, ping_s=settings.ping_interval_s
        ),
        handshake_limiter=HandshakeLimiter(settings.max_concurrent_handshakes),
        activity_feed=ActivityFeed(),
        denials=DenialReporter(presence.enqueue),
        presence=presence,
        channel_subscribers=ChannelSubscriberTracker(bus=bus, presence=presence),
        history=HistoryReader(CursorCodec(read_secret(settings.keys_dir / "cursor.key"))),
        usage=usage,
        metrics=Metrics(),
    )


async def _disconnect(nc: Nats) -> None:
    if nc.is_connected:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await nc.drain()
