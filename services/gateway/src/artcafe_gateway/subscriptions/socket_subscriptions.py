"""The subscriptions of one client's socket: each message once, however many of them match it."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from artcafe_common.broker.subjects import ResolvedSubject, overlaps
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.bridges.subscriptions import QueueMember
from artcafe_gateway.delivery.fanout import BrokerSubscription
from artcafe_gateway.delivery.member_subscription import MemberSubscription
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.history.gaps import Gap
from artcafe_gateway.history.outage import RecoveryFailed
from artcafe_gateway.history.reader import HistoryQuery, ReplayPosition, find_replay_position
from artcafe_gateway.history.tail import StreamTail
from artcafe_gateway.subscriptions.formats import WEBSOCKET_FORMAT, FrameFormat, MessageRender
from artcafe_gateway.subscriptions.recovery import RecoveringSubscription
from artcafe_gateway.subscriptions.reply_subjects import ReplySubjects
from artcafe_gateway.subscriptions.subject_subscription import DeliveryRecorder, SubjectSubscription
from artcafe_gateway.wire.frames import Error
from artcafe_gateway.wire.frames import Gap as GapFrame
from artcafe_gateway.wire.send_queue import FrameQueue
from artcafe_gateway.wire.socket import CLOSE_TRY_LATER


class ChannelSubscribers(Protocol):
    """Knows which clients subscribe to a channel."""

    def add(self, tenant_id: str, client_id: str, channel_id: str) -> None:
        """A client's connection subscribed to a channel."""

    def remove(self, tenant_id: str, client_id: str, channel_id: str) -> None:
        """A client's connection unsubscribed from a channel."""


class SocketSubscriptions:
    """Maps a socket's names to NATS subscriptions on the tenant's bridge.

    A name is added with `subscribe` or `subscribe_from`, and delivers from `activate` on, so that the
    client receives the confirmation before the first message. A name with a queue group is apart from the names
    without one: the broker chooses among the members, and each name of a socket is one. `may_publish` says whether the client could publish on a subject over direct NATS; `close_socket` closes the
    socket with a code and a reason.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        client_id: str,
        send_queue: FrameQueue,
        bridge: Bridge,
        usage: DeliveryRecorder,
        channel_subscribers: ChannelSubscribers,
        may_publish: Callable[[str], bool],
        close_socket: Callable[[int, str], None],
        format_: FrameFormat = WEBSOCKET_FORMAT,
    ) -> None:
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.send_queue = send_queue
        self.usage = usage
        self.format = format_
        self._bridge = bridge
        self._channel_subscribers = channel_subscribers
        self.names: dict[str, ResolvedSubject] = {}
        # The queue group of each name that is in one.
        self._queues: dict[str, str] = {}
        # By subject, and queue group.
        self._by_subject: dict[tuple[str, str], SubjectSubscription] = {}
        # The active names that are channels, and the number of such names per channel.
        self._channel_by_key: dict[str, str] = {}
        self._names_per_channel: Counter[str] = Counter()
        self.reply_subjects = ReplySubjects(client_id, may_publish)
        self._close_socket = close_socket

    async def subscribe(self, key: str, name: ResolvedSubject, queue: str = "") -> None:
        """Subscribes to a name, confirmed by the broker; BrokerUnavailable. Idempotent."""
        if key in self.names:
            return
        self.names[key] = name
        if queue:
            self._queues[key] = queue
        try:
            for subject in name.subscribe_subjects:
                subscription = self._by_subject.get((subject, queue))
                if subscription is None:
                    subscription = await self._create(subject, queue)
                    self._by_subject[subject, queue] = subscription
                subscription.forms[key] = name.form
            for subject in name.subscribe_subjects:
                await self._bridge.confirm_subscription(self._by_subject[subject, queue].broker_subscription)
        except BaseException:
            await self._remove(key)
            raise

    async def _create(self, subject: str, queue: str) -> SubjectSubscription:
        if queue:
            # The broker sends a message to a group once, whichever of the member's subjects match it.
            member = QueueMember(queue, self)
            joined = await self._bridge.acquire_subscription(subject, MemberSubscription, member)
            return SubjectSubscription(self, subject, joined, (), member)
        earlier = tuple(known for known, group in self._by_subject if not group and overlaps(known, subject))
        shared = await self._bridge.acquire_subscription(subject, BrokerSubscription)
        return SubjectSubscription(self, subject, shared, earlier)

    async def subscribe_from(self, key: str, name: ResolvedSubject, query: HistoryQuery) -> ReplayPosition:
        """Subscribes to a channel from a position in its history; BrokerUnavailable, HistoryUnavailable.

        Replaces the socket's existing subscription to the channel, if any. Returns where it begins.
        """
        subject = name.publish_subject
        replaced = self._by_subject.get((subject, ""))
        streams = self._bridge.streams
        tail = await streams.acquire_confirmed(subject, StreamTail)
        try:
            await tail.start(self._bridge, subject)
            position = await find_replay_position(
                self._bridge, subject, query, name.created_at, (name.purged_seq, name.purged_at)
            )
        except BaseException:
            await streams.release_subscription(subject)
            raise
        recovering = RecoveringSubscription(self, subject, tail, self._bridge, position)
        if replaced is not None:
            replaced.deactivate()
            recovering.forms = replaced.forms
            await self._release_at_broker(replaced)
        self._by_subject[subject, ""] = recovering
        self.names[key] = name
        recovering.forms[key] = name.form
        for other in self._by_subject.values():
            if other is recovering or other.member is not None or subject in other.earlier_subjects:
                continue
            if overlaps(other.subject, subject):
                other.earlier_subjects = (*other.earlier_subjects, subject)
                other.refresh()
        return position

    def render_as(self, name: str, render: MessageRender) -> None:
        """Renders further messages as another type of frame."""
        if name == self.format.name:
            return
        self.format = self.format._replace(name=name, render=render)
        for subscription in self._by_subject.values():
            subscription.refresh()

    def activate(self, key: str) -> None:
        """Starts delivery for a name."""
        name, queue = self.names[key], self._queues.get(key, "")
        for subject in name.subscribe_subjects:
            self._by_subject[subject, queue].activate()
        if name.channel is not None and key not in self._channel_by_key:
            self._channel_by_key[key] = name.channel
            self._names_per_channel[name.channel] += 1
            if self._names_per_channel[name.channel] == 1:
                self._channel_subscribers.add(self.tenant_id, self.client_id, name.channel)

    async def unsubscribe(self, key: str) -> None:
        """Unsubscribes from a name, after the messages of its queue group for which it was chosen. Idempotent."""
        name, queue = self.names.get(key), self._queues.get(key, "")
        if name is not None and queue:
            subscriptions = (self._by_subject.get((each, queue)) for each in name.subscribe_subjects)
            await self._bridge.leave_groups(
                [
                    each.broker_subscription
                    for each in subscriptions
                    if each is not None and tuple(each.forms) == (key,)
                ]
            )
        await self._remove(key)

    async def _remove(self, key: str) -> None:
        name, queue = self.names.pop(key, None), self._queues.pop(key, "")
        channel = self._channel_by_key.pop(key, None)
        if channel is not None:
            self._names_per_channel[channel] -= 1
            if not self._names_per_channel[channel]:
                del self._names_per_channel[channel]
                self._channel_subscribers.remove(self.tenant_id, self.client_id, channel)
        for subject in name.subscribe_subjects if name is not None else ():
            await self._release(key, subject, queue)

    async def _release(self, key: str, subject: str, queue: str) -> None:
        subscription = self._by_subject.get((subject, queue))
        if subscription is None:
            return
        subscription.forms.pop(key, None)
        if subscription.forms:
            # The form may have been that of the removed name.
            subscription.activate()
            return
        subscription.deactivate()
        del self._by_subject[subject, queue]
        await self._release_at_broker(subscription)
        for other in self._by_subject.values() if not queue else ():
            other.earlier_subjects = tuple(known for known in other.earlier_subjects if known != subject)

    async def leave_groups(self) -> None:
        """Ends the membership in queue groups, whose messages so far are delivered, before the socket is closed."""
        await self._bridge.leave_groups(
            [each.broker_subscription for each in self._by_subject.values() if each.member is not None]
        )

    async def _release_at_broker(self, subscription: SubjectSubscription) -> None:
        connection = self._bridge.streams if subscription.replays_stream else self._bridge
        await connection.release_subscription(subscription.broker_subject, subscription.member)

    async def unsubscribe_all(self) -> None:
        """Unsubscribes from all names."""
        for key in tuple(self.names):
            await self._remove(key)

    def allow_reply_to(self, message: BrokerMessage) -> None:
        """Allows the client to answer a message."""
        self.reply_subjects.add(message)

    def on_gap(self, subscription: SubjectSubscription, gap: Gap) -> None:
        """Sends a `gap` frame."""
        frame = GapFrame(channel=self._channel_of(subscription), from_seq=gap.from_seq, to_seq=gap.to_seq)
        self.send_queue.push(self.format.encode(frame))

    def _channel_of(self, subscription: SubjectSubscription) -> str:
        return self.names[next(iter(subscription.forms))].channel or ""

    def on_recovery_error(
        self, subscription: SubjectSubscription, error: CommandError, last_seq: int
    ) -> None:
        """Sends an error about a recovering subscription, and closes the socket after RecoveryFailed."""
        channel = self._channel_of(subscription)
        frame = Error(code=error.code, message=error.detail, detail={"channel": channel, "seq": last_seq})
        self.send_queue.push(self.format.encode(frame))
        if isinstance(error, RecoveryFailed):
            self._close_socket(CLOSE_TRY_LATER, error.code)
