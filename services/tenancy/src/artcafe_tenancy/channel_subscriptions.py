"""Who subscribes to a channel: now, as the gateways tell, and before, as it was recorded."""

from artcafe_common import authorization
from artcafe_common.bus.endpoints import handles
from artcafe_common.contracts.tenancy.channels import (
    ChannelNotFound,
    ChannelSubscriber,
    ChannelSubscribers,
    ListChannelSubscribers,
)
from artcafe_common.contracts.tenancy.events import (
    AgentRevoked,
    ChannelChanged,
    ChannelSubscribed,
    ClientRevoked,
    RevocationReason,
)
from artcafe_common.contracts.tenancy.members import Role
from artcafe_tenancy.endpoint_base import Handlers
from artcafe_tenancy.store import Store
from artcafe_tenancy.stream_reconciler import StreamReconciler


class ChannelSubscriptionRecorder:
    """Applies what is announced of channels and their subscribers; safe to be told twice."""

    def __init__(self, store: Store, streams: StreamReconciler) -> None:
        self._store = store
        self._streams = streams

    async def subscribed(self, event: ChannelSubscribed) -> None:
        """Record a subscriber; a channel or client that is not there is none."""
        if await self._store.channels.get(event.tenant_id, event.channel_id) is None:
            return
        known = self._store.clients, self._store.agents
        if not any([await table.get(event.tenant_id, event.client_id) for table in known]):
            return
        await self._store.subscriptions.keep(
            event.tenant_id, event.client_id, event.channel_id, event.occurred_at
        )

    async def revoked(self, event: ClientRevoked | AgentRevoked) -> None:
        """Forget a client or agent that was deleted."""
        if event.reason is RevocationReason.DELETED:
            whom = event.agent_id if isinstance(event, AgentRevoked) else event.client_id
            await self._store.subscriptions.forget_client(whom)

    async def channel_changed(self, event: ChannelChanged) -> None:
        """Forget a channel that was deleted, with its history; see that one that is there has one."""
        if event.deleted:
            await self._streams.forget_channel(event.tenant_id, event.channel_id)
            await self._store.subscriptions.forget_channel(event.channel_id)
        elif (tenant := await self._store.tenant(event.tenant_id)) is not None:
            await self._streams.keep_history(tenant)


class SubscriptionEndpoints(Handlers):
    """Reading them."""

    @handles(ListChannelSubscribers)
    async def list_subscribers(self, request: ListChannelSubscribers) -> ChannelSubscribers:
        tenant_id = authorization.require_role(Role.VIEWER)
        scope = f"subscribers {request.channel_id}"
        position = self.cursors.decode(tenant_id, scope, request.cursor)
        after = position["client_id"] if position else None
        if await self.store.channels.get(tenant_id, request.channel_id) is None:
            raise ChannelNotFound
        recorded = await self.store.subscriptions.list(
            tenant_id, request.channel_id, limit=request.limit + 1, after=after
        )
        at = {item.agent_id: item.subscribed_at for item in recorded}
        live = {client for client in request.live if after is None or client > after}
        merged = sorted(live | at.keys())
        shown = merged[: request.limit]
        more = {"client_id": shown[-1]} if len(merged) > len(shown) else None
        return ChannelSubscribers(
            subscribers=[
                ChannelSubscriber(
                    client_id=client,
                    connections=request.live.get(client, 0),
                    subscribed_at=at.get(client),
                )
                for client in shown
            ],
            next_cursor=self.cursors.encode(tenant_id, scope, more),
        )
