"""The WebSocket subscribers of each channel, across all gateway processes.

Subscribing writes nothing: current subscribers are collected from all processes on request. That a
client subscribed is recorded in tenancy at most once a day, at a limited rate.
"""

import time
from collections import Counter

from cachetools import TTLCache

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.client import Bus
from artcafe_common.bus.request_many import reply_to_requests, request_many
from artcafe_common.contracts.gateway import ChannelSubscribersReply, ChannelSubscribersRequested
from artcafe_common.contracts.tenancy.events import ChannelSubscribed
from artcafe_common.token_bucket import TokenBucket
from artcafe_gateway.reporting.presence import PresenceReporter

RECORD_INTERVAL_S = 24 * 3600
MAX_REMEMBERED = 50_000
MAX_RECORDS_PER_SECOND = 50
# So that a reply fits into one message of the bus.
MAX_CLIENTS_PER_REPLY = 20_000
QUIET_S = 0.15
REPLY_TIMEOUT_S = 1.0
PEER_TIMEOUT_S = 60


class ChannelSubscriberTracker:
    """Tracks the channel subscribers of this process, and collects those of all processes."""

    def __init__(self, *, bus: Bus, presence: PresenceReporter) -> None:
        self._bus = bus
        self._presence = presence
        # Sockets per client, by tenant and channel.
        self._clients: dict[tuple[str, str], Counter[str]] = {}
        self._recorded: TTLCache[tuple[str, str], None] = TTLCache(MAX_REMEMBERED, RECORD_INTERVAL_S)
        self._record_rate = TokenBucket(MAX_RECORDS_PER_SECOND)
        # When each process last replied; requests wait for those that replied recently.
        self._last_reply_at: dict[str, float] = {}

    def add(self, tenant_id: str, client_id: str, channel_id: str) -> None:
        """A client's socket subscribed to a channel."""
        self._clients.setdefault((tenant_id, channel_id), Counter())[client_id] += 1
        # Only channels with an id are stored in tenancy.
        if (client_id, channel_id) in self._recorded or not ULID_PATTERN.match(channel_id):
            return
        if not self._record_rate.try_consume():
            return
        self._recorded[client_id, channel_id] = None
        self._presence.enqueue(
            ChannelSubscribed(tenant_id=tenant_id, client_id=client_id, channel_id=channel_id)
        )

    def remove(self, tenant_id: str, client_id: str, channel_id: str) -> None:
        """A client's socket unsubscribed from a channel."""
        clients = self._clients.get((tenant_id, channel_id))
        if clients is None:
            return
        clients[client_id] -= 1
        if clients[client_id] <= 0:
            del clients[client_id]
        if not clients:
            del self._clients[tenant_id, channel_id]

    async def subscribe(self) -> None:
        """Replies to the requests of all processes."""
        await reply_to_requests(self._bus, ChannelSubscribersRequested, self._reply)

    async def list_all(self, tenant_id: str, channel_id: str) -> dict[str, int]:
        """Returns the current subscribers: number of sockets by client id; ServiceUnavailable."""
        peers = self._find_peers()
        replies = await request_many(
            self._bus,
            ChannelSubscribersRequested(tenant_id=tenant_id, channel_id=channel_id),
            ChannelSubscribersReply,
            expected=lambda received: peers <= {reply.instance for reply in received},
            quiet_s=QUIET_S,
            within_s=REPLY_TIMEOUT_S,
        )
        self._last_reply_at.update((reply.instance, time.monotonic()) for reply in replies)
        total: Counter[str] = Counter()
        for reply in replies:
            total.update(reply.clients)
        return dict(total)

    def _find_peers(self) -> set[str]:
        """The processes that replied recently; the others are forgotten."""
        now = time.monotonic()
        for instance, at in list(self._last_reply_at.items()):
            if now - at >= PEER_TIMEOUT_S:
                del self._last_reply_at[instance]
        return set(self._last_reply_at)

    async def _reply(self, request: ChannelSubscribersRequested) -> ChannelSubscribersReply:
        clients = self._clients.get((request.tenant_id, request.channel_id), Counter())
        return ChannelSubscribersReply(
            instance=self._presence.instance, clients=dict(list(clients.items())[:MAX_CLIENTS_PER_REPLY])
        )
