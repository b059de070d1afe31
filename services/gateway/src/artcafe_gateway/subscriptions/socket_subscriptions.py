"""The subscriptions of one client's socket: a message once, however many of them it fits."""

from collections import Counter, OrderedDict

from artcafe_common.broker.subjects import REPUBLISH_PREFIX, ResolvedSubject, overlaps
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, Render
from artcafe_gateway.delivery.message import message_frame
from artcafe_gateway.history.reader import HistoryQuery, place_of
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
        self.kind = "message"
        self.render: Render = message_frame
        self._bridge = bridge
        self._channel_subscribers = channel_subscribers
        # The names that are a channel's, and how many of them each channel has.
        self._listens: dict[str, str] = {}
        self._channels: Counter[str] = Counter()
        self._raw: dict[str, SubjectSubscription] = {}
        self.names: dict[str, ResolvedSubject] = {}
        # Where this client was asked for an answer: there it may give one.
        self.reply_subjects: OrderedDict[str, None] = OrderedDict()

    async def add(self, key: str, name: ResolvedSubject) -> None:
        """Listen for a name, confirmed by the broker; BrokerUnavailable otherwise. Twice is as once.

        Nothing is delivered before `activate`.
        """
        if key in self.names:
            return
        self.names[key] = name
        try:
            for subject in name.subscribe_subjects:
                raw = self._raw.get(subject)
                if raw is None:
                    before = tuple(known for known in self._raw if overlaps(known, subject))
                    route = await self._bridge.acquire_subscription(subject, BrokerSubscription)
                    raw = self._raw[subject] = SubjectSubscription(self, subject, route, before)
                raw.names[key] = name.form
            for subject in name.subscribe_subjects:
                await self._bridge.confirm_subscription(self._raw[subject].route)
        except CommandError:
            await self.remove(key)
            raise

    async def follow(self, key: str, name: ResolvedSubject, wanted: HistoryQuery) -> None:
        """Listen to a channel from a place of its history on, as `add`; BrokerUnavailable, HistoryUnavailable.

        It stands in for what the socket heard of the channel before, by whatever name.
        """
        subject = name.publish_subject
        raw = self._raw.get(subject)
        source = f"{REPUBLISH_PREFIX}.{subject}"
        route = await self._bridge.acquire_subscription(source, ReplaySubscription)
        try:
            await self._bridge.confirm_subscription(route)
            place = await place_of(self._bridge, subject, wanted)
        except CommandError:
            await self._bridge.release_subscription(source)
            raise
        following = RecoveringSubscription(self, subject, route, self._bridge)
        following.replay(place)
        if raw is not None:
            raw.end()
            following.names = raw.names
            await self._bridge.release_subscription(raw.source)
        self._raw[subject] = following
        self.names[key] = name
        following.names[key] = name.form
        for other in self._raw.values():
            if other is not following and subject not in other.before and overlaps(other.subject, subject):
                other.before = (*other.before, subject)
                other.restart()

    def render_as(self, kind: str, render: Render) -> None:
        """Write messages in another form from now on."""
        if kind == self.kind:
            return
        self.kind, self.render = kind, render
        for raw in self._raw.values():
            raw.restart()

    def activate(self, key: str) -> None:
        """Deliver from now on: the client was told."""
        name = self.names[key]
        for subject in name.subscribe_subjects:
            self._raw[subject].begin()
        if name.channel is not None and key not in self._listens:
            self._listens[key] = name.channel
            self._channels[name.channel] += 1
            if self._channels[name.channel] == 1:
                self._channel_subscribers.subscribed(self.tenant_id, self.client_id, name.channel)

    async def remove(self, key: str) -> None:
        """Stop listening for a name."""
        name = self.names.pop(key, None)
        channel = self._listens.pop(key, None)
        if channel is not None:
            self._channels[channel] -= 1
            if not self._channels[channel]:
                del self._channels[channel]
                self._channel_subscribers.unsubscribed(self.tenant_id, self.client_id, channel)
        for subject in name.subscribe_subjects if name is not None else ():
            raw = self._raw.get(subject)
            if raw is None:
                continue
            raw.names.pop(key, None)
            if raw.names:
                raw.begin()
                continue
            raw.end()
            del self._raw[subject]
            await self._bridge.release_subscription(raw.source)
            for other in self._raw.values():
                other.before = tuple(known for known in other.before if known != subject)

    async def clear(self) -> None:
        """Stop listening for everything."""
        for key in tuple(self.names):
            await self.remove(key)

    def allow_reply_to(self, reply: str) -> None:
        """An answer is expected on this subject."""
        self.reply_subjects[reply] = None
        if len(self.reply_subjects) > MAX_REPLY_SUBJECTS:
            self.reply_subjects.popitem(last=False)
