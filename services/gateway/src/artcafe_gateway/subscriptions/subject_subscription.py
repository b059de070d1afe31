"""One raw NATS subject that a socket listens on."""

from functools import partial
from typing import Protocol

from artcafe_common.broker.subjects import SubjectForm, matches, to_form
from artcafe_gateway.delivery.fanout import BrokerSubscription, DeliveryCounts, Render
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.wire.transport import SendQueue, text_frame


class SubscriptionOwner(Protocol):
    """The socket's side: whose it is, and in what form it wants messages (`kind` names what `render` writes)."""

    tenant_id: str
    client_id: str
    send_queue: SendQueue
    usage: UsageRecorder
    frame_type: str
    render: Render

    def allow_reply_to(self, reply: str) -> None:
        """An answer is expected on this subject."""


class SubjectSubscription:
    """A raw NATS subject that a socket listens on, for one or more of its names.

    `earlier_subjects` are the raw subjects subscribed earlier by the same socket that take some of the same
    messages: those are delivered by them. Only such a subscription looks at each message alone.
    """

    __slots__ = (
        "_joined_form",
        "_joined_frame_type",
        "_owner",
        "broker_subject",
        "broker_subscription",
        "earlier_subjects",
        "forms",
        "send_queue",
        "subject",
    )

    def __init__(
        self,
        owner: SubscriptionOwner,
        subject: str,
        broker_subscription: BrokerSubscription,
        earlier_subjects: tuple[str, ...],
    ) -> None:
        self._owner = owner
        self._joined_form: SubjectForm | None = None
        self._joined_frame_type = owner.frame_type
        self.send_queue: SendQueue = owner.send_queue
        self.subject = subject
        # What is subscribed at the broker for it.
        self.broker_subject = subject
        self.broker_subscription = broker_subscription
        self.earlier_subjects = earlier_subjects
        self.forms: dict[str, SubjectForm] = {}

    @property
    def form(self) -> SubjectForm:
        """How the socket first named what it gets here."""
        return next(iter(self.forms.values()))

    def activate(self) -> None:
        """Deliver from now on, or in another spelling from now on."""
        if self.earlier_subjects:
            self.broker_subscription.listeners[self] = None
        elif self._joined_form is not self.form:
            self._leave()
            self._join()

    def deactivate(self) -> None:
        """Deliver no more."""
        self.broker_subscription.listeners.pop(self, None)
        self._leave()

    def refresh(self) -> None:
        """Go on in the owner's form, or as one who looks at each message, if this has begun."""
        if self._joined_form is not None:
            self._leave()
            self.activate()

    def _join(self) -> None:
        self._joined_form = self.form
        self._joined_frame_type = self._owner.frame_type
        formatted = partial(_format_subject, self._owner.tenant_id, self._joined_form)
        self.broker_subscription.add_subscriber(
            (self._joined_frame_type, self._joined_form), self, formatted, self._owner.render
        )

    def _leave(self) -> None:
        if self._joined_form is not None:
            self.broker_subscription.remove_subscriber((self._joined_frame_type, self._joined_form), self)
            self._joined_form = None

    def deliver(self, delivery: BrokerMessage) -> None:
        """Send the message on, unless an earlier subscription of the socket does."""
        for earlier in self.earlier_subjects:
            if matches(earlier, delivery.subject):
                return
        if delivery.reply is not None:
            self.on_request(delivery.reply)
        self.send(delivery)

    def send(self, delivery: BrokerMessage) -> None:
        """Send one message, and count it."""
        formatted = _format_subject(self._owner.tenant_id, self.form, delivery.subject)
        if self.send_queue.push(text_frame(self._owner.render(delivery, formatted))):
            self.on_delivered({delivery.channel or "": [1, delivery.payload_size]})

    def on_delivered(self, counts: DeliveryCounts) -> None:
        """Count what was delivered."""
        owner = self._owner
        for channel, (messages, size) in counts.items():
            owner.usage.record_delivery(owner.tenant_id, owner.client_id, channel, size, messages)

    def on_request(self, reply: str) -> None:
        """Remember where an answer is expected."""
        self._owner.allow_reply_to(reply)


def _format_subject(tenant_id: str, form: SubjectForm, subject: str) -> str:
    return to_form(tenant_id, subject, form)
