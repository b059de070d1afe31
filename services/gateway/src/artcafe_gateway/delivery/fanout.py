"""From one NATS subscription to everybody behind it: rendered once, joined, written once a loop turn.

The cost of fan-out is the system call, not Python: so all that comes for the same subscribers within
a turn of the event loop goes to each of them in one write (docs/internals/performance.md).
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.wire.transport import SendQueue, text_frame

# What is joined before the turn is over, so that a slow subscriber is noticed in time.
EARLY_FLUSH_BYTES = 64 * 1024

DeliveryCounts = dict[str, list[int]]
Render = Callable[[BrokerMessage, str], bytes]
FormatSubject = Callable[[str], str]


class MessageListener(Protocol):
    """Somebody who looks at each message alone."""

    def deliver(self, message: BrokerMessage) -> None:
        """Take one message; must not block or raise."""


class Subscriber(Protocol):
    """Somebody who takes whatever comes, in the form of their group."""

    send_queue: SendQueue

    def on_delivered(self, counts: DeliveryCounts) -> None:
        """What was just written: by channel, how many messages and payload bytes."""

    def on_request(self, reply: str) -> None:
        """A message asks for an answer on this subject."""


class RenderGroup:
    """The subscribers of one route who want the same bytes."""

    __slots__ = ("_counts", "_format_subject", "_frames", "_loop", "_render", "_size", "subscribers")

    def __init__(self, format_subject: FormatSubject, render: Render) -> None:
        self._format_subject = format_subject
        self._render = render
        self._loop = asyncio.get_running_loop()
        self._frames: list[bytes] = []
        self._size = 0
        self._counts: DeliveryCounts = {}
        self.subscribers: dict[Subscriber, None] = {}

    def render(self, message: BrokerMessage) -> None:
        """Render a message for all subscribers; it leaves at the end of the turn."""
        framed = text_frame(self._render(message, self._format_subject(message.subject)))
        if not self._frames:
            self._loop.call_soon(self.flush)
        self._frames.append(framed)
        self._size += len(framed)
        counts = self._counts.get(message.channel or "")
        if counts is None:
            counts = self._counts[message.channel or ""] = [0, 0]
        counts[0] += 1
        counts[1] += message.payload_size
        if message.reply is not None:
            for subscriber in self.subscribers:
                subscriber.on_request(message.reply)
        if self._size > EARLY_FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was rendered to every subscriber."""
        if not self._frames:
            return
        joined = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        counts = self._counts
        self._frames, self._size, self._counts = [], 0, {}
        for subscriber in self.subscribers:
            if subscriber.send_queue.write(joined):
                subscriber.on_delivered(counts)


class NaiveRenderGroup(RenderGroup):
    """One awaited send for each subscriber and message: what the joined way is measured against."""

    __slots__ = ("_queue", "_task")

    def __init__(self, format_subject: FormatSubject, render: Render) -> None:
        super().__init__(format_subject, render)
        self._queue: asyncio.Queue[BrokerMessage] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    def render(self, message: BrokerMessage) -> None:
        self._queue.put_nowait(message)

    async def _run(self) -> None:
        while True:
            message = await self._queue.get()
            text = self._render(message, self._format_subject(message.subject)).decode()
            for subscriber in tuple(self.subscribers):
                if await subscriber.send_queue.send_text(text):
                    subscriber.on_delivered({message.channel or "": [1, message.payload_size]})


class BrokerSubscription:
    """One NATS subscription and everybody behind it.

    `reference_count` counts who holds it; `confirmed` is set once the broker is known to have it.
    """

    __slots__ = ("_group_type", "_groups", "_tenant_id", "confirmed", "listeners", "reference_count", "sid")

    def __init__(self, tenant_id: str, group_type: type[RenderGroup]) -> None:
        self._tenant_id = tenant_id
        self._group_type = group_type
        self._groups: dict[tuple[str, str], RenderGroup] = {}
        self.listeners: dict[MessageListener, None] = {}
        self.reference_count = 0
        self.confirmed = False
        self.sid = 0

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:
        """Pass a message of the broker on."""
        self.dispatch(BrokerMessage(self._tenant_id, subject, reply, payload, headers))

    def on_resubscribed(self) -> None:
        """The broker has the subscription again, after a time in which messages were missed."""

    def dispatch(self, message: BrokerMessage) -> None:
        """Give a message to everybody."""
        for group in self._groups.values():
            group.render(message)
        for listener in tuple(self.listeners):
            listener.deliver(message)

    def add_subscriber(
        self, key: tuple[str, str], subscriber: Subscriber, format_subject: FormatSubject, render: Render
    ) -> None:
        """Give a subscriber all that comes from now on, in the form that `key` names."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._group_type(format_subject, render)
        group.flush()
        group.subscribers[subscriber] = None

    def remove_subscriber(self, key: tuple[str, str], subscriber: Subscriber) -> None:
        """Give a subscriber no more; what came before is written."""
        group = self._groups.get(key)
        if group is None:
            return
        group.flush()
        group.subscribers.pop(subscriber, None)
        if not group.subscribers:
            del self._groups[key]
