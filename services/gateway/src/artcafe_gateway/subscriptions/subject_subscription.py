"""One raw NATS subject that a socket listens on."""

from functools import partial
from typing import Protocol

from artcafe_common.broker.subjects import Spelling, matches, spell
from artcafe_gateway.delivery.fanout import Counts, Render, Route
from artcafe_gateway.delivery.message import Delivery
from artcafe_gateway.reporting.usage import UsageRecorder
from artcafe_gateway.wire.transport import Outbox, frame


class Owner(Protocol):
    """The socket's side: whose it is, and in what form it wants messages (`kind` names what `render` writes)."""

    tenant_id: str
    client_id: str
    outbox: Outbox
    usage: UsageRecorder
    kind: str
    render: Render

    def note_asked(self, reply: str) -> None:
        """An answer is expected on this subject."""


class Subscription:
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
        "outbox",
        "route",
        "source",
        "subject",
    )

    def __init__(self, owner: Owner, subject: str, route: Route, before: tuple[str, ...]) -> None:
        self._owner = owner
        self._form: Spelling | None = None
        self._kind = owner.kind
        self.outbox: Outbox = owner.outbox
        self.subject = subject
        # What is subscribed at the broker for it.
        self.source = subject
        self.route = route
        self.before = before
        self.names: dict[str, Spelling] = {}

    @property
    def spelling(self) -> Spelling:
        """How the socket first named what it gets here."""
        return next(iter(self.names.values()))

    def begin(self) -> None:
        """Deliver from now on, or in another spelling from now on."""
        if self.before:
            self.route.listeners[self] = None
        elif self._form is not self.spelling:
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
        self._form = self.spelling
        self._kind = self._owner.kind
        spelled = partial(_spell, self._owner.tenant_id, self._form)
        self.route.join((self._kind, self._form), self, spelled, self._owner.render)

    def _leave(self) -> None:
        if self._form is not None:
            self.route.leave((self._kind, self._form), self)
            self._form = None

    def deliver(self, delivery: Delivery) -> None:
        """Send the message on, unless an earlier subscription of the socket does."""
        for earlier in self.before:
            if matches(earlier, delivery.subject):
                return
        if delivery.reply is not None:
            self.asked(delivery.reply)
        self.send(delivery)

    def send(self, delivery: Delivery) -> None:
        """Send one message, and count it."""
        spelled = _spell(self._owner.tenant_id, self.spelling, delivery.subject)
        if self.outbox.push(frame(self._owner.render(delivery, spelled))):
            self.took({delivery.channel or "": [1, delivery.payload_size]})

    def took(self, counts: Counts) -> None:
        """Count what was delivered."""
        owner = self._owner
        for channel, (messages, size) in counts.items():
            owner.usage.delivered(owner.tenant_id, owner.client_id, channel, size, messages)

    def asked(self, reply: str) -> None:
        """Remember where an answer is expected."""
        self._owner.note_asked(reply)


def _spell(tenant_id: str, spelling: Spelling, subject: str) -> str:
    return spell(tenant_id, subject, spelling)
