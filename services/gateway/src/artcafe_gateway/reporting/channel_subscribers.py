"""Who listens to which channel over WebSocket: here, and in every other gateway process.

Nothing is written for it on the path of a subscription. Who listens now is asked of all processes
when somebody wants to know; that a client listened is told to tenancy once a day, within bounds.
"""

import time
from collections import Counter

from cachetools import TTLCache

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.client import Bus
from artcafe_common.bus.request_many import reply_to_requests, request_many
from artcafe_common.contracts.gateway import ChannelSubscribersReply, ChannelSubscribersRequested
from artcafe_common.contracts.tenancy.events import ChannelSubscribed
from artcafe_gateway.bridges.token_bucket import TokenBucket
from artcafe_gateway.errors import RateLimited
from artcafe_gateway.reporting.presence import PresenceReporter

RECORDED_EVERY_S = 24 * 3600
REMEMBERED = 50_000
RECORDS_A_SECOND = 50
# What fits into one message of the bus.
MAX_CLIENTS = 20_000
QUIET_S = 0.15
WITHIN_S = 1.0
PEER_GONE_S = 60


class ChannelSubscriberTracker:
    """Keeps the listeners of this process, asks for those of all."""

    def __init__(self, *, bus: Bus, presence: PresenceReporter) -> None:
        self._bus = bus
        self._presence = presence
        self._clients: dict[tuple[str, str], Counter[str]] = {}
        self._recorded: TTLCache[tuple[str, str], None] = TTLCache(REMEMBERED, RECORDED_EVERY_S)
        self._records = TokenBucket(RECORDS_A_SECOND)
        # When each process answered last: a question waits for those that are likely still there.
        self._peers: dict[str, float] = {}

    def add(self, tenant_id: str, client_id: str, channel_id: str) -> None:
        """A client's socket listens to a channel."""
        self._clients.setdefault((tenant_id, channel_id), Counter())[client_id] += 1
        # Whatever is no id is no channel of which there is a record.
        if (client_id, channel_id) in self._recorded or not ULID_PATTERN.match(channel_id):
            return
        try:
            self._records.consume()
        except RateLimited:
            return  # another time
        self._recorded[client_id, channel_id] = None
        self._presence.enqueue(
            ChannelSubscribed(tenant_id=tenant_id, client_id=client_id, channel_id=channel_id)
        )

    def remove(self, tenant_id: str, client_id: str, channel_id: str) -> None:
        """It does not any more."""
        clients = self._clients.get((tenant_id, channel_id))
        if clients is None:
            return
        clients[client_id] -= 1
        if clients[client_id] <= 0:
            del clients[client_id]
        if not clients:
            del self._clients[tenant_id, channel_id]

    async def subscribe(self) -> None:
        """Answer when any process asks."""
        await reply_to_requests(self._bus, ChannelSubscribersRequested, self._answer)

    async def list_all(self, tenant_id: str, channel_id: str) -> dict[str, int]:
        """Who listens now: client ids, each with its number of sockets."""
        now = time.monotonic()
        peers = {instance for instance, at in self._peers.items() if now - at < PEER_GONE_S}
        answers = await request_many(
            self._bus,
            ChannelSubscribersRequested(tenant_id=tenant_id, channel_id=channel_id),
            ChannelSubscribersReply,
            expected=lambda so_far: peers <= {each.instance for each in so_far},
            quiet_s=QUIET_S,
            within_s=WITHIN_S,
        )
        self._peers = {instance: self._peers[instance] for instance in peers}
        self._peers |= {each.instance: time.monotonic() for each in answers}
        total: Counter[str] = Counter()
        for each in answers:
            total.update(each.clients)
        return dict(total)

    async def _answer(self, question: ChannelSubscribersRequested) -> ChannelSubscribersReply:
        clients = self._clients.get((question.tenant_id, question.channel_id), Counter())
        return ChannelSubscribersReply(
            instance=self._presence.instance, clients=dict(list(clients.items())[:MAX_CLIENTS])
        )
