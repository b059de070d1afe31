"""How the gateway is put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.aio.client import Client as Nats

from artcafe_common.activity_reporting import Denials
from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.contracts.activity import ActivityRecorded
from artcafe_common.contracts.tenancy import AgentRevoked, ClientRevoked, MembershipChanged
from artcafe_common.cursors import Cursors
from artcafe_common.lifecycle import background, every, wait_for
from artcafe_common.settings import read_secret
from artcafe_common.storage.rate_limiter import Buckets
from artcafe_common.storage.redis_client import Shared
from artcafe_gateway.api import create_api
from artcafe_gateway.bridges.pool import Bridges
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.history.reader import History
from artcafe_gateway.http.idempotency_store import Answers
from artcafe_gateway.limits.connection_limit import Places
from artcafe_gateway.limits.handshake_limiter import Admission
from artcafe_gateway.limits.quotas import Quotas
from artcafe_gateway.limits.rate_limits import Limits
from artcafe_gateway.lookup_cache import Directory
from artcafe_gateway.reporting.activity import ActivityFeed
from artcafe_gateway.reporting.channel_subscribers import Listening
from artcafe_gateway.reporting.metrics import Metrics
from artcafe_gateway.reporting.presence import Liveness
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.server import serving
from artcafe_gateway.session_registry import TICK_S, SocketRegistry
from artcafe_gateway.settings import Settings

IDLE_CHECK_S = 5
QUOTA_CHECK_S = 30
BEATS_S = 1


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[None]:
    """The gateway, running; it serves, and says so in its health, before the broker is there.

    Leaving it drains: sockets first, then what they left to tell.
    """
    async with AsyncExitStack() as stack:
        nc = Nats()
        stack.push_async_callback(_leave, nc)
        shared = Shared(settings.redis_url)
        stack.push_async_callback(shared.close)
        gateway = _composed(settings, Bus(nc, service="gateway"), shared)
        stack.push_async_callback(gateway.usage.flush)
        stack.push_async_callback(gateway.bridges.close)
        stack.push_async_callback(gateway.liveness.finish)
        await stack.enter_async_context(serving(create_api(gateway), settings))
        stack.push_async_callback(gateway.sockets.drain)

        async def news_missed() -> None:
            gateway.directory.forget_all()
            await gateway.quotas.refresh_all()

        await connect(
            settings.nats_url,
            settings.keys_dir / "gateway.creds",
            name="gateway",
            on_reconnect=news_missed,
            nc=nc,
        )
        await wait_for("events", gateway.bus.ensure_events_stream)
        await gateway.directory.watch()
        await gateway.quotas.watch()
        await gateway.bus.watch(ClientRevoked, gateway.sockets.client_revoked)
        await gateway.bus.watch(AgentRevoked, gateway.sockets.agent_revoked)
        await gateway.bus.watch(MembershipChanged, gateway.sockets.member_changed)
        await gateway.bus.watch(ActivityRecorded, gateway.activity.show)
        await gateway.listening.watch()
        await nc.flush()
        await stack.enter_async_context(
            background(
                gateway.liveness.run(),
                every(TICK_S, gateway.sockets.tick, name="sockets"),
                every(BEATS_S, gateway.liveness.tick, name="liveness"),
                every(settings.usage_interval_s, gateway.usage.flush, name="usage"),
                every(QUOTA_CHECK_S, gateway.quotas.refresh_all, name="quotas"),
                every(IDLE_CHECK_S, gateway.bridges.close_idle, name="bridges"),
                every(IDLE_CHECK_S, gateway.denials.tick, name="denials"),
            )
        )
        gateway.sockets.open = True
        yield


def _composed(settings: Settings, bus: Bus, shared: Shared) -> Gateway:
    directory = Directory(bus)
    bridges = Bridges(bus=bus, settings=settings)
    quotas = Quotas(bus, directory, bridges)
    bridges.before_use = quotas.refresh
    usage = UsageRecorder(bus=bus, bridges=bridges, server_id=settings.server_id)
    bridges.before_close = usage.flush_bridge
    liveness = Liveness(bus=bus, server_id=settings.server_id)
    return Gateway(
        settings=settings,
        bus=bus,
        shared=shared,
        limits=Limits(Buckets(shared), settings),
        answers=Answers(shared, read_secret(settings.keys_dir / "answers.key")),
        places=Places(bus, directory),
        quotas=quotas,
        directory=directory,
        bridges=bridges,
        sockets=SocketRegistry(
            usage=usage, timeout_s=settings.heartbeat_timeout_s, ping_s=settings.ping_interval_s
        ),
        admission=Admission(settings.handshakes_at_once),
        activity=ActivityFeed(),
        denials=Denials(liveness.announce),
        liveness=liveness,
        listening=Listening(bus=bus, liveness=liveness),
        history=History(Cursors(read_secret(settings.keys_dir / "cursor.key"))),
        usage=usage,
        metrics=Metrics(),
    )


async def _leave(nc: Nats) -> None:
    if nc.is_connected:
        with suppress(nats.errors.Error, OSError, TimeoutError):
            await nc.drain()
