"""The parts of one gateway process that routes and sessions use."""

import msgspec

from artcafe_common.activity_reporting import DenialReporter
from artcafe_common.bus.client import Bus
from artcafe_common.cursors import CursorCodec
from artcafe_common.storage.redis_client import RedisClient
from artcafe_gateway.bridges.pool import BridgePool
from artcafe_gateway.client_tokens import ClientTokens
from artcafe_gateway.delivery.client_keys import ClientKeys
from artcafe_gateway.history.reader import HistoryReader
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
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.session_registry import SessionRegistry
from artcafe_gateway.settings import Settings


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """Built once in `app`, and passed to every route and session."""

    settings: Settings
    bus: Bus
    redis: RedisClient
    rate_limits: RateLimits
    connection_limit: ConnectionLimit
    quotas: Quotas
    lookup_cache: LookupCache
    client_keys: ClientKeys
    client_tokens: ClientTokens
    bridges: BridgePool
    sessions: SessionRegistry
    handshake_limiter: HandshakeLimiter
    unauthenticated_sockets: UnauthenticatedSockets
    dashboard_feed: DashboardFeed
    roster: RosterReader
    denials: DenialReporter
    presence: PresenceReporter
    channel_subscribers: ChannelSubscriberTracker
    connection_details: ConnectionDetailsCollector
    history: HistoryReader
    cursors: CursorCodec
    usage: UsageRecorder
    metrics: Metrics

    def record_slow_consumer(self, owner: str, tenant_id: str) -> None:
        """Count a WebSocket that was closed as a slow consumer."""
        self.metrics.record_slow_consumer(owner)
        self.usage.totals.record_slow_consumer(tenant_id)
