"""Channel subscribers: current ones, as the gateways report them, and recorded ones."""

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
from artcafe_tenancy.endpoint_base import EndpointBase
from artcafe_tenancy.store import Store
from artcafe_tenancy.stream_reconciler import StreamReconciler


class ChannelSubscriptionRecorder:
    """Applies events of channels and their subscribers. Idempotent."""

    def __init__(self, store: Store, streams: StreamReconciler) -> None:
        self._store = store
        self._streams = streams

    async def on_channel_subscribed(self, event: ChannelSubscribed) -> None:
        """Record a subscription if its channel and client exist."""
        if await self._store.channels.get(event.tenant_id, event.channel_id) is None:
            return
        tables = self._store.clients, self._store.agents
        if not any([await table.get(event.tenant_id, event.client_id) for table in tables]):
            return
        await self._store.subscriptions.put(
            event.tenant_id, event.client_id, event.channel_id, event.occurred_at
        )

    async def on_credential_revoked(self, event: ClientRevoked | AgentRevoked) -> None:
        """Delete the subscriptions of a deleted client or agent."""
        if event.reason is RevocationReason.DELETED:
            client_id = event.agent_id if isinstance(event, AgentRevoked) else event.client_id
            await self._store.subscriptions.delete_client(client_id)

    async def on_channel_changed(self, event: ChannelChanged) -> None:
        """Delete the history and subscriptions of a deleted channel; ensure the history of any other."""
        if event.deleted:
            await self._streams.purge_channel(event.tenant_id, event.channel_id)
            await self._store.subscriptions.delete_channel(event.channel_id)
        elif (tenant := await self._store.get_tenant(event.tenant_id)) is not None:
            await self._streams.ensure_history(tenant)


class SubscriptionEndpoints(EndpointBase):
    """The command that lists the subscribers of a channel."""

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
        subscribed_at = {item.agent_id: item.subscribed_at for item in recorded}
        live = {client for client in request.live if after is None or client > after}
        merged = sorted(live | subscribed_at.keys())
        page = merged[: request.limit]
        position_after = {"client_id": page[-1]} if len(merged) > len(page) else None
        return ChannelSubscribers(
            subscribers=[
                ChannelSubscriber(
                    client_id=client,
                    connections=request.live.get(client, 0),
                    subscribed_at=subscribed_at.get(client),
                )
                for client in page
            ],
            next_cursor=self.cursors.encode(tenant_id, scope, position_after),
        )
