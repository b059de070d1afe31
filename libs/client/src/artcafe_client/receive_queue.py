"""The receiving end of a subscription: a bounded queue between the connection and the program."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec

from artcafe_client.errors import ArtcafeError, Gap, SlowSubscriber
from artcafe_client.message import Message
from artcafe_client.names import resolve
from artcafe_client.transports.link import Start, Target

log = logging.getLogger("artcafe_client")


class Overflow(str, Enum):
    """What a subscription does with a message when its queue is full.

    `PAUSE` is for channels with resume: it stops receiving, and continues from the last message when half of the queue is
    free, so that nothing is lost. `DROP_OLDEST` and `DROP_NEWEST` lose messages and count them in `dropped`. `END` ends
    the subscription with `SlowSubscriber`.
    """

    PAUSE = "pause"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    END = "end"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one subscription's queue."""

    messages: int = 10_000
    bytes: int = 64 * 1024 * 1024


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription reads, and how.

    `start` is a place in a channel's history, None for live messages only. Without `required`, a channel without history is
    read live.
    """

    target: Target
    queue: str | None = None
    start: Start | None = None
    required: bool = False
    overflow: Overflow = Overflow.DROP_OLDEST
    limits: Limits = Limits()
    on_gap: Callable[[Gap], None] | None = None


class Flow(Protocol):
    """What a queue asks of the client when it is full, and when it is read again."""

    def pause(self, queue: "ReceiveQueue") -> None:
        """Stop receiving."""

    def proceed(self, queue: "ReceiveQueue") -> None:
        """Receive again, from the last message on."""


class ReceiveQueue:
    """What one subscription has received and the program has not read.

    `dropped` counts the messages that were lost because the queue was full, `duplicates` the repeated ones that were left
    out.
    """

    def __init__(self, flow: Flow, source: Source) -> None:
        self.target = source.target
        self.queue = source.queue
        self.dropped = 0
        self.duplicates = 0
        self.is_ended = False
        self.is_paused = False
        self._flow = flow
        self._source = source
        self._max_messages = source.limits.messages
        self._max_bytes = source.limits.bytes
        self._prefix = ""
        # The lowest `seq` that was not received yet; None while it is not known.
        self._next_seq: int | None = None
        # Also once history turns out not to be available.
        self._is_live_only = source.start is None
        self._messages: deque[Message | Gap] = deque()
        self._bytes = 0
        self._error: ArtcafeError | None = None
        self._is_confirmed = False
        # The futures of who waits for a message, and for the confirmation.
        self._reader: asyncio.Future[None] | None = None
        self._confirmed: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    # -- for the program -----------------------------------------------------------------------

    async def confirmed(self) -> None:
        """Return when the server has confirmed the subscription, or it has ended."""
        if not self._is_confirmed and not self.is_ended:
            if self._confirmed is None:
                self._confirmed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._confirmed)
        if self._error is not None and not self._messages:
            raise self._error

    async def get(self) -> Message:
        """The next message. StopAsyncIteration after the end, Gap for messages that are not kept any more."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self.is_ended:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item = self._messages.popleft()
        if isinstance(item, Gap):
            raise item
        self._bytes -= len(item.payload)
        if self.is_paused and len(self._messages) <= self._max_messages // 2:
            self.is_paused = False
            self._flow.proceed(self)
        return item

    # -- for the connection --------------------------------------------------------------------

    @property
    def start(self) -> Start | None:
        """Where to start: after the last message that was received, or where the program asked to."""
        if self._is_live_only:
            return None
        return self._source.start if self._next_seq is None else Start(since=self._next_seq)

    @property
    def _expected_seq(self) -> int | None:
        """The lowest `seq` that it wants; None while that depends on what the server says."""
        if self._next_seq is not None or self._source.start is None:
            return self._next_seq
        since = self._source.start.since
        return since if isinstance(since, int) else None

    @property
    def room(self) -> int:
        """How many messages the queue can take; 0 also when its bytes are used up."""
        if self._bytes >= self._max_bytes:
            return 0
        return max(0, self._max_messages - len(self._messages))

    @property
    def may_go_live(self) -> bool:
        """Whether it may be read without history, where there is none."""
        return not self._is_live_only and not self._source.required and self._next_seq is None

    def go_live(self) -> None:
        """Read without history: what is published while there is no connection is missed."""
        self._is_live_only = True

    def bind(self, tenant_id: str) -> None:
        """Learn the organization, which a subject may be spelled with."""
        if not self.target.is_channel:
            self._prefix = resolve(tenant_id, self.target.text, wildcards=True).prefix

    def started(self, seq: int | None) -> None:
        """The server has confirmed the subscription, and sends what comes after `seq`, if it says so."""
        if seq is not None and self._expected_seq is None and not self._is_live_only:
            self._next_seq = seq + 1
        self._is_confirmed = True
        if self._confirmed is not None and not self._confirmed.done():
            self._confirmed.set_result(None)

    def deliver(self, message: Message) -> None:
        """Put a message into the queue."""
        if self.is_ended or self.is_paused:
            return
        seq = message.seq
        if seq is not None and not self._is_live_only and seq < (self._expected_seq or 0):
            self.duplicates += 1
            return
        messages = self._messages
        size = len(message.payload)
        full = len(messages) >= self._max_messages or self._bytes + size > self._max_bytes
        # A message that is larger than the whole queue is taken when the queue is empty.
        if full and messages and not self._make_room(size):
            return
        if seq is not None:
            self._next_seq = seq + 1
        if self._prefix:
            message = message.renamed(self._prefix + message.subject)
        messages.append(message)
        self._bytes += size
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def deliver_gap(self, from_seq: int, to_seq: int) -> None:
        """Pass on that messages are not kept any more."""
        expected = self._expected_seq or 0
        if self.is_ended or self.is_paused or expected > to_seq + 1:
            return
        gap = Gap(self.target.text, from_seq, to_seq)
        # A gap that ends where this subscription is means that the history was lost: it counts from there again.
        self._next_seq = from_seq if expected == to_seq + 1 else to_seq + 1
        if self._source.on_gap is not None:
            self._source.on_gap(gap)
        else:
            self._messages.append(gap)
            self._wake()

    def fail(self, error: ArtcafeError) -> None:
        """End with an error, after what the queue holds."""
        self._error = self._error or error
        self.end()

    def end(self) -> None:
        """No more messages will arrive."""
        self.is_ended = True
        if self._confirmed is not None and not self._confirmed.done():
            self._confirmed.set_result(None)
        self._wake()

    # ------------------------------------------------------------------------------------------

    def _make_room(self, size: int) -> bool:
        """Follow the overflow policy; returns whether the message may be put into the queue."""
        policy = self._source.overflow
        if policy is Overflow.PAUSE and not self._is_live_only and self._next_seq is not None:
            self.is_paused = True
            self._flow.pause(self)
            return False
        if policy is Overflow.END:
            self.fail(SlowSubscriber(f"{len(self._messages)} messages of {self.target.text} wait to be read"))
            self._flow.pause(self)
            return False
        if not self.dropped:
            log.warning(
                "messages are dropped: a subscription is read too slowly", extra={"subject": self.target.text}
            )
        self.dropped += 1
        if policy is Overflow.DROP_NEWEST:
            return False
        while self._messages and (
            len(self._messages) >= self._max_messages or self._bytes + size > self._max_bytes
        ):
            oldest = self._messages.popleft()
            self._bytes -= 0 if isinstance(oldest, Gap) else oldest.size
        return True

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
