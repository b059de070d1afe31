"""Everyone who is shown the messages of a channel."""

from support.history import read_history


class Watchers:
    """Everyone who is shown a channel's messages."""

    def __init__(self, tenant, channel):
        self.tenant, self.channel = tenant, channel

    @classmethod
    async def connect(cls, tenant):
        watchers = cls(tenant, await tenant.create_channel())
        watchers.client = await tenant.create_client()
        watchers.live = await watchers.client.connect_websocket()
        await watchers.live.subscribe(channel=watchers.channel["channel_id"])
        watchers.dashboard = await tenant.connect_dashboard()
        await watchers.dashboard.send_and_receive(
            "subscribe_channel", "subscription_confirmed", channel_id=watchers.channel["channel_id"]
        )
        await watchers.dashboard.send_and_receive(
            "subscribe_topic_preview", "subscription_confirmed", pattern=watchers.channel["subject"]
        )
        return watchers

    async def see(self, data):
        """The `from` of the message with this data, as each of them is shown it."""
        replayed = await self.client.connect_websocket()
        await replayed.subscribe(channel=self.channel["channel_id"], since=1)
        messages = (await read_history(self.tenant, self.channel))["messages"]
        shown = [
            await self.live.receive("message", data=data),
            await self.dashboard.receive("channel_message", data=data),
            await self.dashboard.receive("topic_preview_message", data=data),
            await replayed.receive("message", data=data),
            next(message for message in messages if message["data"] == data),
        ]
        assert not any("Artcafe" in name for each in shown for name in each.get("headers", {}))
        return {each.get("from") for each in shown}
