"""One raw NATS subject that a socket listens on."""

from functools import partial
from typing import Protocol

from artcafe_common.broker.subjects import SubjectForm, matches, to_form
from artcafe_gateway.delivery.fanout import BrokerSubscription, Counts, Render
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.wire.transport import SendQueue, frame


class SubscriptionOwner(Protocol):
    """The socket's side: whose it is, and in what form it wants messages (`kind` names what `render` writes)."""

    tenant_id: str
    client_id: str
    send_queue: SendQueue
    usage: UsageRecorder
    kind: str
    render: Render

    def allow_reply_to(self, reply: str) -> None:
        """An answer is expected on this subject."""


class SubjectSubscription:
    """A raw NATS subject that a socket listens on, for one or more of its names.

    `before` are the raw subjects subscribed earlier by the same socket that take some of the same
    messages: those are delivered by them. Only such a subscription looks at each message alone.
    """

    __slots__ = (
        "_form",
        "_kind",
        "_owner",
        "before",
        "names",
        "route",
        "send_queue",
        "source",
        "subject",
    )

    def __init__(
        self, owner: SubscriptionOwner, subject: str, route: BrokerSubscription, before: tuple[str, ...]
    ) -> None:
        self._owner = owner
        self._form: SubjectForm | None = None
        self._kind = owner.kind
        self.send_queue: SendQueue = owner.send_queue
        self.subject = subject
        # What is subscribed at the broker for it.
        self.source = subject
        self.route = route
        self.before = before
        self.names: dict[str, SubjectForm] = {}

    @property
    def form(self) -> SubjectForm:
        """How the socket first named what it gets here."""
        return next(iter(self.names.values()))

    def begin(self) -> None:
        """Deliver from now on, or in another spelling from now on."""
        if self.before:
            self.route.listeners[self] = None
        elif self._form is not self.form:
            self._leave()
            self._join()

    def end(self) -> None:
        """Deliver no more."""
        self.route.listeners.pop(self, None)
        self._leave()

    def restart(self) -> None:
        """Go on in the owner's form, or as one who looks at each message, if this has begun."""
        if self._form is not None:
            self._leave()
            self.begin()

    def _join(self) -> None:
        self._form = self.form
        self._kind = self._owner.kind
        spelled = partial(_spell, self._owner.tenant_id, self._form)
        self.route.join((self._kind, self._form), self, spelled, self._owner.render)

    def _leave(self) -> None:
        if self._form is not None:
            self.route.leave((self._kind, self._form), self)
            self._form = None

    def deliver(self, delivery: BrokerMessage) -> None:
        """Send the message on, unless an earlier subscription of the socket does."""
        for earlier in self.before:
            if matches(earlier, delivery.subject):
                return
        if delivery.reply is not None:
            self.on_request(delivery.reply)
        self.send(delivery)

    def send(self, delivery: BrokerMessage) -> None:
        """Send one message, and count it."""
        spelled = _spell(self._owner.tenant_id, self.form, delivery.subject)
        if self.send_queue.push(frame(self._owner.render(delivery, spelled))):
            self.on_delivered({delivery.channel or "": [1, delivery.payload_size]})

    def on_delivered(self, counts: Counts) -> None:
        """Count what was delivered."""
        owner = self._owner
        for channel, (messages, size) in counts.items():
            owner.usage.delivered(owner.tenant_id, owner.client_id, channel, size, messages)

    def on_request(self, reply: str) -> None:
        """Remember where an answer is expected."""
        self._owner.allow_reply_to(reply)


def _spell(tenant_id: str, form: SubjectForm, subject: str) -> str:
    return to_form(tenant_id, subject, form)
