"""The subscriptions of one client's socket: a message once, however many of them it fits."""

from collections import Counter, OrderedDict
from functools import partial

from artcafe_common.broker.subjects import Name, Spelling, matches, overlaps, spell
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridge import Bridge
from artcafe_gateway.delivery import Delivery, message_frame
from artcafe_gateway.fanout import Counts, Render, Route
from artcafe_gateway.listening import Listening
from artcafe_gateway.usage import UsageRecorder
from artcafe_gateway.wire.transport import Outbox, frame

MAX_ASKED = 1000


class Subscription:
    """A raw NATS subject that a socket listens on, for one or more of its names.

    `before` are the raw subjects subscribed earlier by the same socket that take some of the same
    messages: those are delivered by them. Only such a subscription looks at each message alone.
    """

    __slots__ = ("_form", "_kind", "_owner", "before", "names", "outbox", "route", "subject")

    def __init__(self, owner: "Subscriptions", subject: str, route: Route, before: tuple[str, ...]) -> None:
        self._owner = owner
        self._form: Spelling | None = None
        self._kind = owner.kind
        self.outbox: Outbox = owner.outbox
        self.subject = subject
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
            self.end()
            self._form = self.spelling
            self._kind = self._owner.kind
            spelled = partial(_spell, self._owner.tenant_id, self._form)
            self.route.join((self._kind, self._form), self, spelled, self._owner.render)

    def end(self) -> None:
        """Deliver no more."""
        self.route.listeners.pop(self, None)
        if self._form is not None:
            self.route.leave((self._kind, self._form), self)
            self._form = None

    def restart(self) -> None:
        """Go on in the owner's form, if this has begun."""
        if self._form is not None:
            self.end()
            self.begin()

    def deliver(self, delivery: Delivery) -> None:
        """Send the message on, unless an earlier subscription of the socket does."""
        for earlier in self.before:
            if matches(earlier, delivery.subject):
                return
        if delivery.reply is not None:
            self.asked(delivery.reply)
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


class Subscriptions:
    """Keeps a socket's names and raw subjects in step with the bridge."""

    def __init__(
        self,
        *,
        tenant_id: str,
        client_id: str,
        outbox: Outbox,
        bridge: Bridge,
        usage: UsageRecorder,
        listening: Listening,
    ) -> None:
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.outbox = outbox
        self.usage = usage
        # The name of the form in which messages are written, and what writes them.
        self.kind = "message"
        self.render: Render = message_frame
        self._bridge = bridge
        self._listening = listening
        # The names that are a channel's, and how many of them each channel has.
        self._listens: dict[str, str] = {}
        self._channels: Counter[str] = Counter()
        self._raw: dict[str, Subscription] = {}
        self.names: dict[str, Name] = {}
        # Where this client was asked for an answer: there it may give one.
        self.asked_at: OrderedDict[str, None] = OrderedDict()

    async def add(self, key: str, name: Name) -> None:
        """Listen for a name, confirmed by the broker; BrokerUnavailable otherwise. Twice is as once.

        Nothing is delivered before `activate`.
        """
        if key in self.names:
            return
        self.names[key] = name
        try:
            for subject in name.listen:
                raw = self._raw.get(subject)
                if raw is None:
                    before = tuple(known for known in self._raw if overlaps(known, subject))
                    route = await self._bridge.hold(subject)
                    raw = self._raw[subject] = Subscription(self, subject, route, before)
                raw.names[key] = name.spelling
            for subject in name.listen:
                await self._bridge.confirm(self._raw[subject].route)
        except CommandError:
            await self.remove(key)
            raise

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
        for subject in name.listen:
            self._raw[subject].begin()
        if name.channel is not None and key not in self._listens:
            self._listens[key] = name.channel
            self._channels[name.channel] += 1
            if self._channels[name.channel] == 1:
                self._listening.began(self.tenant_id, self.client_id, name.channel)

    async def remove(self, key: str) -> None:
        """Stop listening for a name."""
        name = self.names.pop(key, None)
        channel = self._listens.pop(key, None)
        if channel is not None:
            self._channels[channel] -= 1
            if not self._channels[channel]:
                del self._channels[channel]
                self._listening.ended(self.tenant_id, self.client_id, channel)
        for subject in name.listen if name is not None else ():
            raw = self._raw.get(subject)
            if raw is None:
                continue
            raw.names.pop(key, None)
            if raw.names:
                raw.begin()
                continue
            raw.end()
            del self._raw[subject]
            await self._bridge.drop(subject)
            for other in self._raw.values():
                other.before = tuple(known for known in other.before if known != subject)

    async def clear(self) -> None:
        """Stop listening for everything."""
        for key in tuple(self.names):
            await self.remove(key)

    def note_asked(self, reply: str) -> None:
        """An answer is expected on this subject."""
        self.asked_at[reply] = None
        if len(self.asked_at) > MAX_ASKED:
            self.asked_at.popitem(last=False)


def _spell(tenant_id: str, spelling: Spelling, subject: str) -> str:
    return spell(tenant_id, subject, spelling)
