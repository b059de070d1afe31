"""Sockets that receive a channel with history."""

import asyncio

from artcafe_common.broker.subjects import resolve_channel
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

    async def subscribe(self, **query):
        name = resolve_channel(TENANT, CHANNEL)
        await self.subscriptions.subscribe_from(CHANNEL, name, HistoryQuery(**query))
        self.subscriptions.activate(CHANNEL)

    def publish(self, *numbers, **options):
        """Store messages; a message's number is its payload."""
        for number in numbers:
            self.history.append(CHANNEL_SUBJECT, b"%d" % number, **options)

    @property
    def received(self):
        return [frame["data"] for frame in self.send_queue.frames]

    @property
    def state(self):
        return self.subscriptions._by_subject[CHANNEL_SUBJECT]._state

    async def wait_until_caught_up(self):
        live = (RecoveryState.CAUGHT_UP, RecoveryState.LIVE)
        await eventually(lambda: self.state in live, every=0.001)
        # A render group writes at the end of the turn.
        await asyncio.sleep(0)

    async def wait_for(self, *numbers):
        await eventually(lambda: self.received[-1:] == [numbers[-1]], every=0.001)
        assert self.received == list(numbers)
