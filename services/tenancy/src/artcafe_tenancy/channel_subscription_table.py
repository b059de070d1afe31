"""DynamoDB access to channel subscriptions."""

from datetime import datetime

from boto3.dynamodb.conditions import Key

from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table import Table
from artcafe_tenancy.tables import SUBSCRIPTIONS, SubscriptionItem

PAGE_SIZE = 200


class SubscriptionTable:
    """Subscriptions by client and by channel. Callers check that the channel belongs to their tenant."""

    def __init__(self, database: Database) -> None:
        self._items = Table(database, SUBSCRIPTIONS)

    async def put(self, tenant_id: str, client_id: str, channel_id: str, at: datetime) -> None:
        """Store a subscription."""
        await self._items.put(
            SubscriptionItem(agent_id=client_id, channel_id=channel_id, tenant_id=tenant_id, subscribed_at=at)
        )

    async def list(
        self, tenant_id: str, channel_id: str, *, limit: int, after: str | None
    ) -> list[SubscriptionItem]:
        """Up to `limit` subscriptions of a channel in the order of client ids, starting after `after`."""
        page = await self._items.query(
            channel_id,
            index="ChannelIndex",
            limit=limit,
            range_=None if after is None else Key("agent_id").gt(after),
        )
        return [item for item in page.items if item.tenant_id == tenant_id]

    async def delete_client(self, client_id: str) -> None:
        """Delete all subscriptions of a client."""
        while items := (await self._items.query(client_id, limit=PAGE_SIZE, consistent=True)).items:
            for item in items:
                await self._items.delete(item.agent_id, item.channel_id)

    async def delete_channel(self, channel_id: str) -> None:
        """Delete all subscriptions of a channel."""
        after: str | None = None
        while True:
            range_ = None if after is None else Key("agent_id").gt(after)
            page = await self._items.query(channel_id, index="ChannelIndex", limit=PAGE_SIZE, range_=range_)
            for item in page.items:
                await self._items.delete(item.agent_id, item.channel_id)
            if page.position is None:
                return
            after = page.items[-1].agent_id
