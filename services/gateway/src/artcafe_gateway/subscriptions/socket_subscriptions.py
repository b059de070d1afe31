"""The subscriptions of one client's socket: each message once, however many of them match it."""

from collections import Counter
from collections.abc import Callable

import msgspec

from artcafe_common.broker.subjects import ResolvedSubject, overlaps
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, Render
from artcafe_gateway.delivery.message import BrokerMessage, message_frame
from artcafe_gateway.history.outage import RecoveryFailed
from artcafe_gateway.history.reader import HistoryQuery, find_replay_position
from artcafe_gateway.history.tail import StreamTail
from artcafe_gateway.reporting.channel_subscribers import ChannelSubscriberTracker
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.subscriptions.recovery import RecoveringSubscription
from artcafe_gateway.subscriptions.reply_subjects import ReplySubjects
from artcafe_gateway.subscriptions.subject_subscription import SubjectSubscription
from artcafe_gateway.wire.frames import Error
from artcafe_gateway.wire.socket import CLOSE_TRY_LATER
from artcafe_gateway.wire.transport import SendQueue, text_frame


class SocketSubscriptions:
    """Maps a socket's names to NATS subscriptions on the tenant's bridge.

    A name is added with `subscribe` or `subscribe_from`, and delivers from `activate` on, so that the
    client receives the confirmation before the first message. `frame_type` and `render` are the frames
    that the socket receives. `may_publish` says whether the client could publish on a subject over direct NATS; `close_socket` closes the
    socket with a code and a reason.
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
        may_publish: Callable[[str], bool],
        close_socket: Callable[[int, str], None],
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
        self.reply_subjects = ReplySubjects(client_id, may_publish)
        self._close_socket = close_socket

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
        except BaseException:
            await self.unsubscribe(key)
            raise

    async def subscribe_from(self, key: str, name: ResolvedSubject, query: HistoryQuery) -> None:
        """Subscribes to a channel from a position in its history; BrokerUnavailable, HistoryUnavailable.

        Replaces the socket's existing subscription to the channel, if any.
        """
        subject = name.publish_subject
        replaced = self._by_subject.get(subject)
        streams = self._bridge.streams
        tail = await streams.acquire_confirmed(subject, StreamTail)
        try:
            await tail.start(self._bridge, subject)
            position = await find_replay_position(self._bridge, subject, query)
        except BaseException:
            await streams.release_subscription(subject)
            raise
        recovering = RecoveringSubscription(self, subject, tail, self._bridge, position)
        if replaced is not None:
            replaced.deactivate()
            recovering.forms = replaced.forms
            await self._release_at_broker(replaced)
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
        await self._release_at_broker(subscription)
        for other in self._by_subject.values():
            other.earlier_subjects = tuple(known for known in other.earlier_subjects if known != subject)

    async def _release_at_broker(self, subscription: SubjectSubscription) -> None:
        connection = self._bridge.streams if subscription.replays_stream else self._bridge
        await connection.release_subscription(subscription.broker_subject)

    async def unsubscribe_all(self) -> None:
        """Unsubscribes from all names."""
        for key in tuple(self.names):
            await self.unsubscribe(key)

    def allow_reply_to(self, message: BrokerMessage) -> None:
        """Allows the client to answer a message."""
        self.reply_subjects.add(message)

    def on_recovery_error(
        self, subscription: SubjectSubscription, error: CommandError, last_seq: int
    ) -> None:
        """Sends an error about a recovering subscription, and closes the socket after RecoveryFailed."""
        channel = self.names[next(iter(subscription.forms))].channel
        frame = Error(code=error.code, message=error.detail, detail={"channel": channel, "seq": last_seq})
        self.send_queue.push(text_frame(msgspec.json.encode(frame)))
        if isinstance(error, RecoveryFailed):
            self._close_socket(CLOSE_TRY_LATER, error.code)
