"""The subscriptions of one client's socket: each message once, however many of them match it."""

from collections import Counter, OrderedDict

from artcafe_common.broker.subjects import REPUBLISH_PREFIX, ResolvedSubject, overlaps
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, Render
from artcafe_gateway.delivery.message import message_frame
from artcafe_gateway.history.reader import HistoryQuery, find_replay_position
from artcafe_gateway.reporting.channel_subscribers import ChannelSubscriberTracker
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.subscriptions.recovery import RecoveringSubscription, ReplaySubscription
from artcafe_gateway.subscriptions.subject_subscription import SubjectSubscription
from artcafe_gateway.wire.transport import SendQueue

MAX_REPLY_SUBJECTS = 1000


class SocketSubscriptions:
    """Maps a socket's names to NATS subscriptions on the tenant's bridge.

    A name is added with `subscribe` or `subscribe_from`, and delivers from `activate` on, so that the
    client receives the confirmation before the first message. `frame_type` and `render` are the frames
    that the socket receives.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        client_id: str,
        send_queue: SendQueue,
        bridge: Bridge,
        usage: UsageRecorder,
        channel_subscribers: ChannelSubscriberTracker,
    ) -> None:
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.send_queue = send_queue
        self.usage = usage
        self.frame_type = "message"
        self.render: Render = message_frame
        self._bridge = bridge
        self._channel_subscribers = channel_subscribers
        self.names: dict[str, ResolvedSubject] = {}
        self._by_subject: dict[str, SubjectSubscription] = {}
        # The active names that are channels, and the number of such names per channel.
        self._channel_by_key: dict[str, str] = {}
        self._names_per_channel: Counter[str] = Counter()
        # Subjects of requests that the client received: it may publish replies there.
        self.reply_subjects: OrderedDict[str, None] = OrderedDict()

    async def subscribe(self, key: str, name: ResolvedSubject) -> None:
        """Subscribes to a name, confirmed by the broker; BrokerUnavailable. Idempotent."""
        if key in self.names:
            return
        self.names[key] = name
        try:
            for subject in name.subscribe_subjects:
                subscription = self._by_subject.get(subject)
                if subscription is None:
                    earlier = tuple(known for known in self._by_subject if overlaps(known, subject))
                    broker_subscription = await self._bridge.acquire_subscription(subject, BrokerSubscription)
                    subscription = SubjectSubscription(self, subject, broker_subscription, earlier)
                    self._by_subject[subject] = subscription
                subscription.forms[key] = name.form
            for subject in name.subscribe_subjects:
                await self._bridge.confirm_subscription(self._by_subject[subject].broker_subscription)
        except CommandError:
            await self.unsubscribe(key)
            raise

    async def subscribe_from(self, key: str, name: ResolvedSubject, query: HistoryQuery) -> None:
        """Subscribes to a channel from a position in its history; BrokerUnavailable, HistoryUnavailable.

        Replaces the socket's existing subscription to the channel, if any.
        """
        subject = name.publish_subject
        replaced = self._by_subject.get(subject)
        broker_subject = f"{REPUBLISH_PREFIX}.{subject}"
        broker_subscription = await self._bridge.acquire_subscription(broker_subject, ReplaySubscription)
        try:
            await self._bridge.confirm_subscription(broker_subscription)
            position = await find_replay_position(self._bridge, subject, query)
        except CommandError:
            await self._bridge.release_subscription(broker_subject)
            raise
        recovering = RecoveringSubscription(self, subject, broker_subscription, self._bridge, position)
        if replaced is not None:
            replaced.deactivate()
            recovering.forms = replaced.forms
            await self._bridge.release_subscription(replaced.broker_subject)
        self._by_subject[subject] = recovering
        self.names[key] = name
        recovering.forms[key] = name.form
        for other in self._by_subject.values():
            if other is recovering or subject in other.earlier_subjects:
                continue
            if overlaps(other.subject, subject):
                other.earlier_subjects = (*other.earlier_subjects, subject)
                other.refresh()

    def render_as(self, frame_type: str, render: Render) -> None:
        """Renders further messages as another type of frame."""
        if frame_type == self.frame_type:
            return
        self.frame_type, self.render = frame_type, render
        for subscription in self._by_subject.values():
            subscription.refresh()

    def activate(self, key: str) -> None:
        """Starts delivery for a name."""
        name = self.names[key]
        for subject in name.subscribe_subjects:
            self._by_subject[subject].activate()
        if name.channel is not None and key not in self._channel_by_key:
            self._channel_by_key[key] = name.channel
            self._names_per_channel[name.channel] += 1
            if self._names_per_channel[name.channel] == 1:
                self._channel_subscribers.add(self.tenant_id, self.client_id, name.channel)

    async def unsubscribe(self, key: str) -> None:
        """Unsubscribes from a name. Idempotent."""
        name = self.names.pop(key, None)
        channel = self._channel_by_key.pop(key, None)
        if channel is not None:
            self._names_per_channel[channel] -= 1
            if not self._names_per_channel[channel]:
                del self._names_per_channel[channel]
                self._channel_subscribers.remove(self.tenant_id, self.client_id, channel)
        for subject in name.subscribe_subjects if name is not None else ():
            await self._release(key, subject)

    async def _release(self, key: str, subject: str) -> None:
        subscription = self._by_subject.get(subject)
        if subscription is None:
            return
        subscription.forms.pop(key, None)
        if subscription.forms:
            # The form may have been that of the removed name.
            subscription.activate()
            return
        subscription.deactivate()
        del self._by_subject[subject]
        await self._bridge.release_subscription(subscription.broker_subject)
        for other in self._by_subject.values():
            other.earlier_subjects = tuple(known for known in other.earlier_subjects if known != subject)

    async def unsubscribe_all(self) -> None:
        """Unsubscribes from all names."""
        for key in tuple(self.names):
            await self.unsubscribe(key)

    def allow_reply_to(self, reply: str) -> None:
        """Allows the client to publish to a reply subject; the oldest of more than 1000 is dropped."""
        self.reply_subjects[reply] = None
        if len(self.reply_subjects) > MAX_REPLY_SUBJECTS:
            self.reply_subjects.popitem(last=False)
