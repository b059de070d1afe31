"""The composition root of the gateway: builds its parts, and starts them in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.activity_reporting import DenialReporter
from artcafe_common.broker.connect import connect
from artcafe_common.broker.renewable import RenewableNats
from artcafe_common.bus.client import Bus
from artcafe_common.bus.consumer import EventConsumer
from artcafe_common.contracts.presence import PresenceChanged, PresencesChanged
from artcafe_common.contracts.tenancy.activity import ActivitiesStored, ActivityRecorded
from artcafe_common.contracts.tenancy.events import (
    AccountDataDeleted,
    AccountExpired,
)
from artcafe_common.cursors import CursorCodec
from artcafe_common.key_ring import REFRESH_INTERVAL_S, KeyRing, refresh_all
from artcafe_common.lifecycle import run_background, run_periodically, wait_until_available
from artcafe_common.runtime import open_tracer, report_instance
from artcafe_common.storage.rate_limiter import RateLimiter
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.api import create_api
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.bridges.server_watch import ServerWatch
from artcafe_gateway.client_tokens import ClientTokens
from artcafe_gateway.delivery.client_keys import ClientKeys
from artcafe_gateway.delivery.signatures import derive_signing_key
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import HistoryReader
from artcafe_gateway.http.head import with_head
from artcafe_gateway.http.health_report import check_gateway
from artcafe_gateway.http.idempotency_store import IdempotencyStore
from artcafe_gateway.limits.connection_limit import ConnectionLimit
from artcafe_gateway.limits.handshake_limiter import HandshakeLimiter
from artcafe_gateway.limits.quotas import Quotas
from artcafe_gateway.limits.rate_limits import RateLimits
from artcafe_gateway.limits.unauthenticated_sockets import UnauthenticatedSockets
from artcafe_gateway.lookup_cache import LookupCache
from artcafe_gateway.metrics import Metrics
from artcafe_gateway.reporting.channel_subscribers import ChannelSubscriberTracker
from artcafe_gateway.reporting.connection_details import ConnectionDetailsCollector
from artcafe_gateway.reporting.dashboard_feed import DashboardFeed
from artcafe_gateway.reporting.presence import PresenceReporter
from artcafe_gateway.reporting.roster import RosterReader
from artcafe_gateway.reporting.traffic import TrafficReporter
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.server import serve_http
from artcafe_gateway.session_audit import SessionAudit
from artcafe_gateway.session_registry import TICK_S, SessionRegistry
from artcafe_gateway.settings import Settings

IDLE_CHECK_S = 5
SERVER_CHECK_S = 1
QUOTA_CHECK_S = 30
PRESENCE_S = 1
SETTLE_S = 0.5
DRAIN_TIMEOUT_S = 2


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """Run the gateway.

    It serves HTTP, and reports its health, before the broker is reachable. On exit it stops accepting connections,
    closes the sessions, completes HTTP requests in progress, and sends the queued presence and usage reports.
    """
    async with AsyncExitStack() as stack:
        nc = RenewableNats()
        stack.push_async_callback(_disconnect, nc)
        redis = RedisClient(settings.redis_url, ca_file=settings.ca_file)
        stack.push_async_callback(redis.close)
        idempotency_keys = KeyRing.from_file(settings.keys_dir / "answers.key")
        cursor_keys = KeyRing.from_file(settings.keys_dir / "cursor.key")
        idempotency_store = IdempotencyStore(redis, idempotency_keys)
        tracer = await stack.enter_async_context(open_tracer("gateway", settings))
        gateway = _build_gateway(
            settings,
            Bus(nc, service="gateway", tracer=tracer, stream_replicas=settings.stream_replicas),
            redis,
            cursor_keys,
        )
        gateway.metrics.process.add_connections(platform=nc)
        server_watch = ServerWatch(settings.nats_url, lambda: gateway.bridges.open_connections)
        await stack.enter_async_context(gateway.metrics.workers.listen())
        stack.push_async_callback(gateway.usage.flush)
        stack.push_async_callback(gateway.bridges.close)
        stack.push_async_callback(gateway.presence.drain)
        api = create_api(gateway, idempotency_store, cors_origins=settings.parse_cors_origins())
        http = await stack.enter_async_context(serve_http(with_head(api), settings))
        stack.push_async_callback(gateway.sessions.drain)
        stack.callback(http.stop_accepting)

        async def delete_tenant(event: AccountExpired) -> None:
            await idempotency_store.delete_tenant(event.tenant_id)
            await gateway.rate_limits.remove_tenant(event.tenant_id)
            await gateway.bus.publish(
                AccountDataDeleted(tenant_id=event.tenant_id, round=event.round, service="gateway")
            )

        consumer = EventConsumer(gateway.bus, "gateway", {AccountExpired: delete_tenant})
        gateway.metrics.process.add_consumers(consumer)

        audit = SessionAudit(gateway.sessions, gateway.bus)

        async def refresh_caches() -> None:
            # Events may have been missed while the broker was unreachable.
            gateway.lookup_cache.clear()
            gateway.client_keys.clear()
            gateway.client_tokens.clear()
            audit.begin(nc.lost_at)
            await gateway.quotas.refresh_all()

        await connect(
            settings.nats_url,
            settings.keys_dir / "gateway.creds",
            name="gateway",
            on_reconnect=refresh_caches,
            nc=nc,
            ca_file=settings.ca_file,
        )
        await gateway.lookup_cache.subscribe()
        await gateway.client_keys.subscribe()
        await gateway.client_tokens.subscribe()
        await gateway.quotas.subscribe()
        await gateway.sessions.subscribe(gateway.bus)
        await gateway.bus.subscribe(ActivityRecorded, gateway.dashboard_feed.on_activity)
        await gateway.bus.subscribe(ActivitiesStored, gateway.dashboard_feed.on_activities)
        await gateway.bus.subscribe(PresencesChanged, gateway.dashboard_feed.on_presences)
        await gateway.bus.subscribe(PresenceChanged, gateway.dashboard_feed.on_presence)
        await _answer_requests(gateway)
        await nc.flush()
        await stack.enter_async_context(
            run_background(
                wait_until_available("events", gateway.bus.ensure_events_stream),
                consumer.run(),
                audit.run(),
                gateway.presence.run(),
                run_periodically(
                    REFRESH_INTERVAL_S,
                    lambda: refresh_all(cursor_keys, idempotency_keys),
                    name="refresh_keys",
                ),
                run_periodically(TICK_S, gateway.sessions.tick, name="sessions"),
                run_periodically(PRESENCE_S, gateway.presence.send_heartbeats, name="presence"),
                run_periodically(settings.usage_interval_s, gateway.usage.flush, name="usage"),
                run_periodically(QUOTA_CHECK_S, gateway.quotas.refresh_all, name="quotas"),
                run_periodically(IDLE_CHECK_S, gateway.bridges.close_idle, name="bridges"),
                run_periodically(IDLE_CHECK_S, gateway.denials.flush, name="denials"),
                run_periodically(SERVER_CHECK_S, server_watch.check, name="servers"),
                run_periodically(SETTLE_S, idempotency_store.settle_unconfirmed, name="idempotency"),
            )
        )
        gateway.sessions.accepting = True
        yield


def _build_gateway(settings: Settings, bus: Bus, redis: RedisClient, cursor_keys: KeyRing) -> Gateway:
    lookup_cache = LookupCache(bus)
    cursors = CursorCodec(cursor_keys)
    client_keys = ClientKeys(bus)
    bridges = BridgePool(
        bus=bus,
        settings=settings,
        signing_keys=cursor_keys.derive(derive_signing_key),
        client_keys=client_keys,
    )
    quotas = Quotas(bus, lookup_cache, bridges)
    bridges.before_use = quotas.refresh
    usage = UsageRecorder(bus=bus, bridges=bridges, server_id=settings.server_id)
    bridges.before_close = usage.flush_bridge
    presence = PresenceReporter(bus=bus, server_id=settings.server_id)
    sessions = SessionRegistry(
        usage=usage, timeout_s=settings.heartbeat_timeout_s, ping_s=settings.ping_interval_s
    )
    handshake_limiter = HandshakeLimiter(settings.max_concurrent_handshakes)
    metrics = Metrics(settings)
    metrics.observe(
        bus=bus,
        redis=redis,
        sessions=sessions,
        bridges=bridges,
        client_keys=client_keys,
        presence=presence,
        usage=usage,
        handshakes=handshake_limiter,
    )
    return Gateway(
        settings=settings,
        bus=bus,
        redis=redis,
        rate_limits=RateLimits(RateLimiter(redis), settings),
        connection_limit=ConnectionLimit(bus, lookup_cache),
        quotas=quotas,
        lookup_cache=lookup_cache,
        client_keys=client_keys,
        client_tokens=ClientTokens(bus),
        bridges=bridges,
        sessions=sessions,
        handshake_limiter=handshake_limiter,
        unauthenticated_sockets=UnauthenticatedSockets(settings.unauthenticated_sockets_per_address),
        dashboard_feed=DashboardFeed(lookup_cache.client_name),
        roster=RosterReader(bus, cursors),
        denials=DenialReporter(presence.enqueue),
        presence=presence,
        channel_subscribers=ChannelSubscriberTracker(bus=bus, presence=presence),
        connection_details=ConnectionDetailsCollector(bus=bus, instance=presence.instance, sessions=sessions),
        history=HistoryReader(cursors),
        cursors=cursors,
        usage=usage,
        metrics=metrics,
    )


async def _answer_requests(gateway: Gateway) -> None:
    """Replies to the requests of other processes and of the operator."""
    await gateway.channel_subscribers.subscribe()
    await gateway.connection_details.subscribe()
    instance = gateway.presence.instance
    traffic = TrafficReporter(
        instance=instance, server_id=gateway.settings.server_id, totals=gateway.usage.totals
    )
    await traffic.subscribe(gateway.bus, gateway.sessions)
    await report_instance(
        gateway.bus,
        "gateway",
        lambda: check_gateway(gateway),
        instance=instance,
        worker=gateway.metrics.workers.name,
    )


async def _disconnect(nc: Nats) -> None:
    if nc.is_connected:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(nc.drain(), DRAIN_TIMEOUT_S)
