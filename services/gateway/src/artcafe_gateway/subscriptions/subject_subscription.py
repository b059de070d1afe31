"""One socket's subscription to one NATS subject."""

from functools import partial
from typing import Protocol

from artcafe_common.broker.subjects import SubjectForm, matches, to_form
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.subscriptions import QueueMember
from artcafe_gateway.delivery.fanout import BrokerSubscription, DeliveryCounts, Render
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.history.gaps import Gap
from artcafe_gateway.subscriptions.formats import FrameFormat
from artcafe_gateway.wire.send_queue import FrameQueue


class DeliveryRecorder(Protocol):
    """Counts what was delivered."""

    def record_delivery(
        self, tenant_id: str, client_id: str, channel_id: str, size: int, messages: int = 1
    ) -> None:
        """Counts messages sent to a client; `size` is the sum of their payload bytes."""


class SubscriptionOwner(Protocol):
    """The connection of a subscription."""

    tenant_id: str
    client_id: str
    send_queue: FrameQueue
    usage: DeliveryRecorder
    format: FrameFormat

    def allow_reply_to(self, message: BrokerMessage) -> None:
        """Allows the client to answer a message."""

    def on_gap(self, subscription: "SubjectSubscription", gap: Gap) -> None:
        """Messages of a channel are missing before the next one that is sent."""

    def on_recovery_error(
        self, subscription: "SubjectSubscription", error: CommandError, last_seq: int
    ) -> None:
        """A subscription to a channel's history is delayed, or has failed; it delivered up to `last_seq`."""


class SubjectSubscription:
    """A socket's subscription to a NATS subject, for one or more of the socket's names.

    `earlier_subjects` are the subjects that the socket subscribed to before and that overlap with
    this one: they deliver the messages that they match. With them the subscription listens to each
    message; without them it joins a render group. `forms` has the subject form of each name by key,
    and `broker_subject` is the subject subscribed to at the broker. With a `member`, the socket is in a queue group.
    """

    __slots__ = (
        "_group_form",
        "_group_format",
        "_owner",
        "broker_subject",
        "broker_subscription",
        "earlier_subjects",
        "forms",
        "member",
        "send_queue",
        "subject",
    )
    # Whether `broker_subject` is subscribed to in the account of the tenant's streams.
    replays_stream = False

    def __init__(
        self,
        owner: SubscriptionOwner,
        subject: str,
        broker_subscription: BrokerSubscription,
        earlier_subjects: tuple[str, ...],
        member: QueueMember | None = None,
    ) -> None:
        self._owner = owner
        self.member = member
        # The render group that the subscription is in; no form when it is in none.
        self._group_form: SubjectForm | None = None
        self._group_format = owner.format.name
        self.send_queue: FrameQueue = owner.send_queue
        self.subject = subject
        self.broker_subject = subject
        self.broker_subscription = broker_subscription
        self.earlier_subjects = earlier_subjects
        self.forms: dict[str, SubjectForm] = {}

    @property
    def form(self) -> SubjectForm:
        """The form of the first name: delivered subjects are written in it."""
        return next(iter(self.forms.values()))

    def activate(self) -> None:
        """Starts delivery, or continues it in the current form."""
        if self.earlier_subjects:
            self._leave_group()
            self.broker_subscription.add_listener(self)
        elif self._group_form is not self.form:
            self.broker_subscription.listeners.pop(self, None)
            self._leave_group()
            self._join_group()

    def deactivate(self) -> None:
        """Stops delivery."""
        if self.member is not None:
            # No other member receives what is held here.
            self.broker_subscription.release_held()
        self.broker_subscription.listeners.pop(self, None)
        self._leave_group()

    def refresh(self) -> None:
        """Applies changes of the owner's frames and of `earlier_subjects` to a subscription in a group."""
        if self._group_form is not None:
            self._leave_group()
            self.activate()

    def _join_group(self) -> None:
        self._group_form = self.form
        self._group_format = self._owner.format.name
        format_subject = partial(_format_subject, self._owner.tenant_id, self._group_form)
        self.broker_subscription.add_subscriber(
            (self._group_format, self._group_form),
            self,
            format_subject,
            self._render,
            self._owner.format.wrap,
        )

    @property
    def _render(self) -> Render:
        render = self._owner.format.render
        return render if self.member is None else partial(render, queue=self.member.queue)

    def _leave_group(self) -> None:
        if self._group_form is not None:
            self.broker_subscription.remove_subscriber((self._group_format, self._group_form), self)
            self._group_form = None

    def deliver(self, message: BrokerMessage) -> None:
        """Sends a message, unless an earlier subscription of the socket does."""
        for earlier in self.earlier_subjects:
            if matches(earlier, message.subject):
                return
        if message.reply is not None:
            self.on_request(message)
        self.send(message)

    def send(self, message: BrokerMessage) -> None:
        """Sends one message and records its delivery."""
        subject = _format_subject(self._owner.tenant_id, self.form, message.subject)
        if self.send_queue.push(self._owner.format.wrap(self._render(message, subject))):
            self.on_delivered({message.channel or "": [1, message.payload_size]})

    def on_delivered(self, counts: DeliveryCounts) -> None:
        """Records deliveries."""
        owner = self._owner
        for channel, (messages, size) in counts.items():
            owner.usage.record_delivery(owner.tenant_id, owner.client_id, channel, size, messages)

    def on_request(self, message: BrokerMessage) -> None:
        """Allows the client to reply."""
        self._owner.allow_reply_to(message)


def _format_subject(tenant_id: str, form: SubjectForm, subject: str) -> str:
    return to_form(tenant_id, subject, form)
