"""DynamoDB access to who subscribed to which channel."""

from datetime import datetime

from boto3.dynamodb.conditions import Key

from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.tables import SUBSCRIPTIONS, SubscriptionItem

PAGE = 200


class SubscriptionTable:
    """Clients by channel. Whoever asks has made sure that the channel is of their tenant."""

    def __init__(self, database: Database) -> None:
        self._items = database.table(SUBSCRIPTIONS)

    async def keep(self, tenant_id: str, client_id: str, channel_id: str, at: datetime) -> None:
        """Note that a client subscribed."""
        await self._items.put(
            SubscriptionItem(agent_id=client_id, channel_id=channel_id, tenant_id=tenant_id, subscribed_at=at)
        )

    async def list(
        self, tenant_id: str, channel_id: str, *, limit: int, after: str | None
    ) -> list[SubscriptionItem]:
        """Up to `limit` subscribers of a channel, by id, behind one of them."""
        page = await self._items.query(
            channel_id,
            index="ChannelIndex",
            limit=limit,
            range_=None if after is None else Key("agent_id").gt(after),
        )
        return [item for item in page.items if item.tenant_id == tenant_id]

    async def forget_client(self, client_id: str) -> None:
        """Remove all that a client subscribed to."""
        while items := (await self._items.query(client_id, limit=PAGE)).items:
            for item in items:
                await self._items.delete(item.agent_id, item.channel_id)

    async def forget_channel(self, channel_id: str) -> None:
        """Remove all who subscribed to a channel."""
        after: str | None = None
        while True:
            range_ = None if after is None else Key("agent_id").gt(after)
            page = await self._items.query(channel_id, index="ChannelIndex", limit=PAGE, range_=range_)
            for item in page.items:
                await self._items.delete(item.agent_id, item.channel_id)
            if page.position is None:
                return
            after = page.items[-1].agent_id
