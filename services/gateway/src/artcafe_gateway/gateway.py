"""What every route and socket of one gateway process shares."""

import msgspec

from artcafe_common.activity_reporting import Denials
from artcafe_common.bus.client import Bus
from artcafe_common.storage.redis_client import Shared
from artcafe_gateway.activity import ActivityFeed
from artcafe_gateway.admission import Admission
from artcafe_gateway.answers import Answers
from artcafe_gateway.bridges import Bridges
from artcafe_gateway.directory import Directory
from artcafe_gateway.history import History
from artcafe_gateway.limits import Limits
from artcafe_gateway.listening import Listening
from artcafe_gateway.liveness import Liveness
from artcafe_gateway.metrics import Metrics
from artcafe_gateway.places import Places
from artcafe_gateway.quotas import Quotas
from artcafe_gateway.registry import SocketRegistry
from artcafe_gateway.settings import Settings
from artcafe_gateway.usage import UsageRecorder


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
