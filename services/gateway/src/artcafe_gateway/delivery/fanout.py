"""Fan-out from one NATS subscription to its sockets: render once, join, one write per loop turn.

System calls dominate the cost of fan-out, so all messages for the same subscribers within one turn of
the event loop go to each of them in one write (docs/internals/performance.md).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from artcafe_common.broker.subjects import channel_id_of
from artcafe_gateway.delivery.held_messages import HeldMessages
from artcafe_gateway.delivery.message import GATEWAY_ID_PREFIX, BrokerMessage
from artcafe_gateway.delivery.plain_messages import find_head, find_plain_tail
from artcafe_gateway.delivery.read_time import ReadTime
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.delivery.turn_flushes import TurnFlushes
from artcafe_gateway.wire.send_queue import FrameQueue
from artcafe_gateway.wire.text_frames import frame_head, line_frame, text_frame

# More than this is written before the turn ends, so that slow consumers are noticed in time.
EARLY_FLUSH_BYTES = 64 * 1024
# No frame with several messages is larger.
MAX_BATCH_BYTES = EARLY_FLUSH_BYTES
# How many subjects a group remembers.
MAX_HEADS = 1000
# A message with the same unique id within this time is a repetition, as for the broker.
REPETITION_PERIOD_S = 120.0
MAX_UNIQUE_IDS = 5000

# By channel id ("" for no channel): messages, payload bytes.
DeliveryCounts = dict[str, list[int]]
FormatSubject = Callable[[str], str]
# What is written to a connection for a frame's text.
Wrap = Callable[[bytes], bytes]
# A frame's JSON text, from a message and its subject in the subscriber's form.
Render = Callable[[BrokerMessage, str], bytes]
# The type of the frames, and the form of their subjects.
GroupKey = tuple[str, str]


class MessageListener(Protocol):
    """Receives the messages of a subscription one by one."""

    def deliver(self, message: BrokerMessage) -> None:
        """Handles one message; must neither block nor raise."""


class Subscriber(Protocol):
    """A member of a render group: its socket receives the group's frames."""

    @property
    def send_queue(self) -> FrameQueue:
        """Where its frames wait."""

    def on_delivered(self, counts: DeliveryCounts) -> None:
        """Messages were written to the socket."""

    def on_request(self, message: BrokerMessage) -> None:
        """A message expects a reply."""


class RenderGroup:
    """The subscribers of one broker subscription that receive the same bytes."""

    __slots__ = (
        "_counts",
        "_flushes",
        "_format_subject",
        "_head",
        "_heads",
        "_is_batch",
        "_parts",
        "_render",
        "_size",
        "_wrap",
        "subscribers",
    )

    def __init__(
        self,
        format_subject: FormatSubject,
        render: Render,
        wrap: Wrap = text_frame,
        flushes: TurnFlushes | None = None,
    ) -> None:
        self._format_subject = format_subject
        self._render = render
        self._wrap = wrap
        self._flushes = flushes or TurnFlushes()
        # What the next write consists of.
        self._parts: list[bytes] = []
        self._size = 0
        self._counts: DeliveryCounts = {}
        # The messages of one write are the lines of one frame.
        self._is_batch = wrap is line_frame
        self._head = find_head(render) if wrap in (text_frame, line_frame) else None
        # By NATS subject: what precedes the payload in a frame, and the channel's id, or "".
        self._heads: dict[bytes, tuple[bytes, str]] = {}
        self.subscribers: dict[Subscriber, None] = {}

    @property
    def renders_plain(self) -> bool:
        """Whether `render_plain` writes what `render` does."""
        return self._head is not None

    def render(self, message: BrokerMessage) -> None:
        """Renders a message; it is written at the end of the loop turn."""
        text = self._render(message, self._format_subject(message.subject))
        if self._is_batch:
            text = text.replace(b"\n", b" ")
            self._add(len(text) + 1, (b"\n", text), message.channel or "", message.payload_size)
        else:
            frame = self._wrap(text)
            self._add(len(frame), (frame,), message.channel or "", message.payload_size)
        if message.reply is not None:
            for subscriber in self.subscribers:
                subscriber.on_request(message)

    def render_plain(self, tenant_id: str, subject: bytes, payload: bytes, tail: bytes) -> None:
        """As `render`, for a message without reply and headers whose payload is JSON; `tail` ends its frame."""
        head, channel = self._heads.get(subject) or self._add_head(tenant_id, subject)
        size = len(head) + len(payload) + len(tail)
        if self._is_batch:
            if b"\n" in payload:
                payload = payload.replace(b"\n", b" ")
            self._add(size + 1, (b"\n", head, payload, tail), channel, len(payload))
        else:
            start = frame_head(size)
            self._add(size + len(start), (start, head, payload, tail), channel, len(payload))

    def _add_head(self, tenant_id: str, subject: bytes) -> tuple[bytes, str]:
        name = subject.decode()
        channel = channel_id_of(tenant_id, name)
        if self._head is None:
            raise RuntimeError("this group renders no plain messages")
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        found = self._heads[subject] = (self._head(self._format_subject(name), channel), channel or "")
        return found

    def _add(self, size: int, parts: tuple[bytes, ...], channel: str, payload_size: int) -> None:
        if self._is_batch and self._size + size > MAX_BATCH_BYTES:
            self.flush()
        if not self._parts:
            self._flushes.add(self)
        self._parts += parts
        self._size += size
        counts = self._counts.get(channel)
        if counts is None:
            counts = self._counts[channel] = [0, 0]
        counts[0] += 1
        counts[1] += payload_size
        if self._size > EARLY_FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what was rendered to every subscriber."""
        if not self._parts:
            return
        if self._is_batch:
            # In place of the first line's separator.
            self._parts[0] = frame_head(self._size - 1)
        joined = b"".join(self._parts)
        counts = self._counts
        self._parts, self._size, self._counts = [], 0, {}
        for subscriber in self.subscribers:
            if subscriber.send_queue.write(joined):
                subscriber.on_delivered(counts)


# Makes the groups of a subscription.
GroupFactory = Callable[..., RenderGroup]


class NaiveRenderGroup(RenderGroup):
    """One awaited send per subscriber and message: the baseline that benchmarks compare with."""

    __slots__ = ("_queue", "_task")

    def __init__(
        self,
        format_subject: FormatSubject,
        render: Render,
        wrap: Wrap = text_frame,
        flushes: TurnFlushes | None = None,
    ) -> None:
        super().__init__(format_subject, render, wrap, flushes)
        self._queue: asyncio.Queue[BrokerMessage] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    @property
    def renders_plain(self) -> bool:
        return False

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
    """One NATS subscription of a bridge, and the sockets that share it.

    `confirmed` is set while the broker is known to have the subscription; `sid` is its id on the
    current connection.
    """

    __slots__ = (
        "_group_type",
        "_groups",
        "_held",
        "_plain_groups",
        "_signer",
        "_unique_ids",
        "confirmed",
        "listeners",
        "reference_count",
        "sid",
    )

    def __init__(self, signer: MessageSigner, group_type: GroupFactory) -> None:
        self._signer = signer
        self._group_type = group_type
        self._groups: dict[GroupKey, RenderGroup] = {}
        # All groups, if they render plain messages; otherwise none.
        self._plain_groups: tuple[RenderGroup, ...] = ()
        # When a message with a unique id was last dispatched, oldest first.
        self._unique_ids: dict[str, float] = {}
        self._held: HeldMessages | None = None
        self.listeners: dict[MessageListener, None] = {}
        self.reference_count = 0
        self.confirmed = False
        self.sid = 0

    def receive(
        self, subject: bytes, reply: bytes, payload: bytes, headers: bytes, read_time: ReadTime
    ) -> None:
        """Handles a message as it was read from the broker."""
        groups = self._plain_groups
        if groups and not (reply or self.listeners or self._held):
            tail = find_plain_tail(self._signer, subject, payload, headers, read_time)
            if tail:
                for group in groups:
                    group.render_plain(self._signer.tenant_id, subject, payload, tail)
                return
        self.on_message(subject.decode(), reply.decode(), payload, headers)

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:
        """Handles a message from the broker."""
        message = BrokerMessage(self._signer, subject, reply, payload, headers)
        if self._held or message.signature is not None:
            self._hold(message)
        else:
            self._deliver(message)

    def _hold(self, message: BrokerMessage) -> None:
        # Those behind a held message wait as well, because each publisher's messages stay in order.
        if self._held is None and self._signer.clients is not None:
            self._held = HeldMessages(self._signer.clients, self._deliver)
        if self._held is not None:
            self._held.add(message)

    def _deliver(self, message: BrokerMessage) -> None:
        unique_id = message.unique_id
        if unique_id is None or unique_id.startswith(GATEWAY_ID_PREFIX) or self._is_first(unique_id):
            self.dispatch(message)
            if message.traceparent is not None:
                self._trace_delivery(message.traceparent)

    def _trace_delivery(self, traceparent: str) -> None:
        """Record that the message reached this gateway, until its frames are written at the end of the loop turn."""
        span = self._signer.tracer.resume("deliver", "consumer", traceparent)
        if span is not None:
            subscribers = sum(len(group.subscribers) for group in self._groups.values())
            span.set("artcafe.subscribers", subscribers + len(self.listeners))
            asyncio.get_running_loop().call_soon(span.end)

    def _is_first(self, unique_id: str) -> bool:
        now, dispatched_at = time.monotonic(), self._unique_ids.pop(unique_id, None)
        first = dispatched_at is None or now - dispatched_at > REPETITION_PERIOD_S
        self._unique_ids[unique_id] = now if first or dispatched_at is None else dispatched_at
        if len(self._unique_ids) > MAX_UNIQUE_IDS:
            del self._unique_ids[next(iter(self._unique_ids))]
        return first

    def on_resubscribed(self) -> None:
        """A new connection has the subscription; messages in between may have been missed."""

    def on_released(self) -> None:
        """Nobody uses the subscription any more."""

    def dispatch(self, message: BrokerMessage) -> None:
        """Passes a message to all groups and listeners."""
        for group in self._groups.values():
            group.render(message)
        for listener in tuple(self.listeners):
            listener.deliver(message)

    def add_subscriber(
        self,
        key: GroupKey,
        subscriber: Subscriber,
        format_subject: FormatSubject,
        render: Render,
        wrap: Wrap = text_frame,
    ) -> None:
        """Delivers all further messages to a subscriber, in the form that `key` identifies."""
        self.release_held()
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._group_type(format_subject, render, wrap)
            self._find_plain_groups()
        group.flush()
        group.subscribers[subscriber] = None

    def add_listener(self, listener: MessageListener) -> None:
        """Delivers all further messages to a listener."""
        self.release_held()
        self.listeners[listener] = None

    def release_held(self) -> None:
        """Delivers what was received before."""
        if self._held:
            self._held.release()

    def remove_subscriber(self, key: GroupKey, subscriber: Subscriber) -> None:
        """Writes what was rendered before, and delivers nothing more to a subscriber."""
        group = self._groups.get(key)
        if group is None:
            return
        group.flush()
        group.subscribers.pop(subscriber, None)
        if not group.subscribers:
            del self._groups[key]
            self._find_plain_groups()

    def _find_plain_groups(self) -> None:
        groups = tuple(self._groups.values())
        self._plain_groups = groups if all(group.renders_plain for group in groups) else ()
