"""The subscriptions of one client's socket: a message once, however many of them it fits."""

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
    """Keeps a socket's names and raw subjects in step with the bridge."""

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
        # The name of the form in which messages are written, and what writes them.
        self.frame_type = "message"
        self.render: Render = message_frame
        self._bridge = bridge
        self._channel_subscribers = channel_subscribers
        # The names that are a channel's, and how many of them each channel has.
        self._listens: dict[str, str] = {}
        self._channels: Counter[str] = Counter()
        self._by_subject: dict[str, SubjectSubscription] = {}
        self.names: dict[str, ResolvedSubject] = {}
        # Where this client was asked for an answer: there it may give one.
        self.reply_subjects: OrderedDict[str, None] = OrderedDict()

    async def subscribe(self, key: str, name: ResolvedSubject) -> None:
        """Listen for a name, confirmed by the broker; BrokerUnavailable otherwise. Twice is as once.

        Nothing is delivered before `activate`.
        """
        if key in self.names:
            return
        self.names[key] = name
        try:
            for subject in name.subscribe_subjects:
                subscription = self._by_subject.get(subject)
                if subscription is None:
                    earlier_subjects = tuple(known for known in self._by_subject if overlaps(known, subject))
                    broker_subscription = await self._bridge.acquire_subscription(subject, BrokerSubscription)
                    subscription = self._by_subject[subject] = SubjectSubscription(
                        self, subject, broker_subscription, earlier_subjects
                    )
                subscription.forms[key] = name.form
            for subject in name.subscribe_subjects:
                await self._bridge.confirm_subscription(self._by_subject[subject].broker_subscription)
        except CommandError:
            await self.unsubscribe(key)
            raise

    async def subscribe_from(self, key: str, name: ResolvedSubject, query: HistoryQuery) -> None:
        """Listen to a channel from a position of its history on, as `add`; BrokerUnavailable, HistoryUnavailable.

        It stands in for what the socket heard of the channel before, by whatever name.
        """
        subject = name.publish_subject
        subscription = self._by_subject.get(subject)
        source = f"{REPUBLISH_PREFIX}.{subject}"
        broker_subscription = await self._bridge.acquire_subscription(source, ReplaySubscription)
        try:
            await self._bridge.confirm_subscription(broker_subscription)
            position = await find_replay_position(self._bridge, subject, query)
        except CommandError:
            await self._bridge.release_subscription(source)
            raise
        recovering = RecoveringSubscription(self, subject, broker_subscription, self._bridge)
        recovering.set_position(position)
        if subscription is not None:
            subscription.deactivate()
            recovering.forms = subscription.forms
            await self._bridge.release_subscription(subscription.broker_subject)
        self._by_subject[subject] = recovering
        self.names[key] = name
        recovering.forms[key] = name.form
        for other in self._by_subject.values():
            if (
                other is not recovering
                and subject not in other.earlier_subjects
                and overlaps(other.subject, subject)
            ):
                other.earlier_subjects = (*other.earlier_subjects, subject)
                other.refresh()

    def render_as(self, frame_type: str, render: Render) -> None:
        """Write messages in another form from now on."""
        if frame_type == self.frame_type:
            return
        self.frame_type, self.render = frame_type, render
        for subscription in self._by_subject.values():
            subscription.refresh()

    def activate(self, key: str) -> None:
        """Deliver from now on: the client was told."""
        name = self.names[key]
        for subject in name.subscribe_subjects:
            self._by_subject[subject].activate()
        if name.channel is not None and key not in self._listens:
            self._listens[key] = name.channel
            self._channels[name.channel] += 1
            if self._channels[name.channel] == 1:
                self._channel_subscribers.add(self.tenant_id, self.client_id, name.channel)

    async def unsubscribe(self, key: str) -> None:
        """Stop listening for a name."""
        name = self.names.pop(key, None)
        channel = self._listens.pop(key, None)
        if channel is not None:
            self._channels[channel] -= 1
            if not self._channels[channel]:
                del self._channels[channel]
                self._channel_subscribers.remove(self.tenant_id, self.client_id, channel)
        for subject in name.subscribe_subjects if name is not None else ():
            subscription = self._by_subject.get(subject)
            if subscription is None:
                continue
            subscription.forms.pop(key, None)
            if subscription.forms:
                subscription.activate()
                continue
            subscription.deactivate()
            del self._by_subject[subject]
            await self._bridge.release_subscription(subscription.broker_subject)
            for other in self._by_subject.values():
                other.earlier_subjects = tuple(known for known in other.earlier_subjects if known != subject)

    async def unsubscribe_all(self) -> None:
        """Stop listening for everything."""
        for key in tuple(self.names):
            await self.unsubscribe(key)

    def allow_reply_to(self, reply: str) -> None:
        """An answer is expected on this subject."""
        self.reply_subjects[reply] = None
        if len(self.reply_subjects) > MAX_REPLY_SUBJECTS:
            self.reply_subjects.popitem(last=False)
