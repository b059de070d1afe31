"""What a dashboard shows of the messages: a channel, or a preview of all."""

import random
from typing import Protocol

from artcafe_common.broker.subjects import SubjectForm, matches, to_form
from artcafe_gateway.delivery.fanout import BrokerSubscription, DeliveryCounts
from artcafe_gateway.delivery.message import BrokerMessage, channel_message_frame, preview_frame
from artcafe_gateway.wire.socket import Socket
from artcafe_gateway.wire.text_frames import text_frame

# Beyond this backlog, in bytes, a preview drops messages.
PREVIEW_BACKLOG = 256 * 1024


class DashboardView(Protocol):
    """A feed that one dashboard shows."""

    subjects: tuple[str, ...]

    def start(self) -> None:
        """Start showing messages."""

    def stop(self) -> None:
        """Stop showing messages."""


class ChannelView:
    """The messages of one channel."""

    def __init__(
        self, socket: Socket, channel_id: str, subject: str, subscription: BrokerSubscription
    ) -> None:
        self.send_queue = socket.send_queue
        self.subjects: tuple[str, ...] = (subject,)
        self._channel_id = channel_id
        self._key = ("channel", channel_id)
        self._subscription = subscription

    def start(self) -> None:
        self._subscription.add_subscriber(self._key, self, lambda _: self._channel_id, channel_message_frame)

    def stop(self) -> None:
        self._subscription.remove_subscriber(self._key, self)

    def on_delivered(self, counts: DeliveryCounts) -> None:
        """Dashboard deliveries are not billed."""

    def on_request(self, message: BrokerMessage) -> None:
        """A dashboard sends no replies."""


class TopicPreviewView:
    """A sample of the tenant's messages; drops those that a slow dashboard cannot receive."""

    def __init__(
        self, socket: Socket, tenant_id: str, subscriptions: dict[str, BrokerSubscription], sample: float
    ) -> None:
        self.subjects = tuple(subscriptions)
        self._socket = socket
        self._tenant_id = tenant_id
        self._subscriptions = subscriptions
        self._sample = sample
        self._dropped = 0

    def start(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.add_listener(self)

    def stop(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.listeners.pop(self, None)

    def deliver(self, message: BrokerMessage) -> None:
        """Show a message, or count it as dropped."""
        if matches(f"tenant.{self._tenant_id}.presence.*", message.subject):
            # The dashboard receives changes of presence from the platform.
            return
        if self._sample < 1 and random.random() >= self._sample:
            return
        if self._socket.send_queue.backlog > PREVIEW_BACKLOG:
            self._dropped += 1
            return
        subject = to_form(self._tenant_id, message.subject, SubjectForm.SHORT)
        self._socket.send_queue.push(text_frame(preview_frame(message, subject, self._dropped)))
        self._dropped = 0
