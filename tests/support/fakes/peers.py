"""Sockets that subscribe: to subjects, and to a channel with history."""

import asyncio

import msgspec

from artcafe_common.broker.subjects import resolve, resolve_channel
from artcafe_gateway.history.reader import HistoryQuery
from artcafe_gateway.subscriptions.recovery import RecoveryState
from artcafe_gateway.subscriptions.socket_subscriptions import SocketSubscriptions
from support.fakes.ids import CHANNEL, CLIENT, TENANT
from support.fakes.reporting import FakeChannelSubscribers, FakeUsage
from support.fakes.sockets import FakeSendQueue
from support.waiting import eventually

CHANNEL_SUBJECT = f"tenant.{TENANT}.channel.{CHANNEL}"


def socket_subscriptions(bridge, send_queue, usage, channel_subscribers, close_socket=None):
    """The subscriptions of a socket whose client may publish everything."""
    return SocketSubscriptions(
        tenant_id=TENANT,
        client_id=CLIENT,
        send_queue=send_queue,
        bridge=bridge,
        usage=usage,
        channel_subscribers=channel_subscribers,
        may_publish=lambda _: True,
        close_socket=close_socket,
    )


class Peer:
    """A WebSocket client's side of the subscriptions."""

    def __init__(self, bridge, broker):
        self.bridge = bridge
        self.broker = broker
        self.send_queue = FakeSendQueue()
        self.usage = FakeUsage()
        self.channel_subscribers = FakeChannelSubscribers()
        self.subscriptions = socket_subscriptions(
            bridge, self.send_queue, self.usage, self.channel_subscribers
        )

    async def subscribe(self, text, queue=""):
        await self.subscriptions.subscribe(text + queue, resolve(TENANT, text, wildcards=True), queue)
        self.subscriptions.activate(text + queue)

    async def subscribe_channel(self, channel, queue=""):
        await self.subscriptions.subscribe(channel + queue, resolve_channel(TENANT, channel), queue)
        self.subscriptions.activate(channel + queue)

    async def unsubscribe(self, text, queue=""):
        await self.subscriptions.unsubscribe(text + queue)

    async def receive(self, subject, payload=b"1", reply=""):
        """Publish a message at the broker; returns the frames that the socket receives."""
        self.send_queue.drain()
        self.broker.route(subject, payload, b"", reply)
        await asyncio.sleep(0)
        return self.send_queue.drain()

    async def subjects(self, subject):
        return [frame["subject"] for frame in await self.receive(subject)]


class ChannelPeer:
    """A socket that subscribes to a channel from a position in its history."""

    def __init__(self, bridge, history):
        self.bridge = bridge
        self.history = history
        self.send_queue = FakeSendQueue()
        self.usage = FakeUsage()
        self.subscriptions = socket_subscriptions(
            bridge, self.send_queue, self.usage, FakeChannelSubscribers(), self._close
        )
        # The code and reason with which the socket was closed.
        self.closed = []

    def _close(self, code, reason):
        self.closed.append((code, reason))
        self.send_queue.open = False

    async def subscribe(self, *, created_at=None, **query):
        """Subscribe; returns what is missing at the beginning."""
        name = msgspec.structs.replace(resolve_channel(TENANT, CHANNEL), created_at=created_at)
        position = await self.subscriptions.subscribe_from(CHANNEL, name, HistoryQuery(**query))
        self.subscriptions.activate(CHANNEL)
        return position.gap

    def publish(self, *numbers, **options):
        """Store messages; a message's number is its payload."""
        for number in numbers:
            self.history.append(CHANNEL_SUBJECT, b"%d" % number, **options)

    @property
    def received(self):
        """The data of the messages; of a gap its two numbers."""
        return [
            frame["data"] if frame["type"] == "message" else (frame["from_seq"], frame["to_seq"])
            for frame in self.send_queue.frames
        ]

    @property
    def state(self):
        return self.subscriptions._by_subject[CHANNEL_SUBJECT, ""]._state

    async def wait_until_caught_up(self):
        live = (RecoveryState.CAUGHT_UP, RecoveryState.LIVE)
        await eventually(lambda: self.state in live, every=0.001)
        # A render group writes at the end of the turn.
        await asyncio.sleep(0)

    async def wait_for(self, *numbers):
        await eventually(lambda: self.received[-1:] == [numbers[-1]], every=0.001)
        assert self.received == list(numbers)
