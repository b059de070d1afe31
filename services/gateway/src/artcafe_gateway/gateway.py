"""What every route and socket of one gateway process shares."""

import msgspec

from artcafe_common.activity_reporting import Denials
from artcafe_common.bus.client import Bus
from artcafe_common.storage.redis_client import Shared
from artcafe_gateway.bridges.pool import Bridges
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
from artcafe_gateway.session_registry import SocketRegistry
from artcafe_gateway.settings import Settings


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The parts, put together in `app`."""

    settings: Settings
    bus: Bus
    shared: Shared
    limits: Limits
    answers: Answers
    places: Places
    quotas: Quotas
    directory: Directory
    bridges: Bridges
    sockets: SocketRegistry
    admission: Admission
    activity: ActivityFeed
    denials: Denials
    liveness: Liveness
    listening: Listening
    history: History
    usage: UsageRecorder
    metrics: Metrics
