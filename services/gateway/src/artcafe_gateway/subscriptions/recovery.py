"""Replay of a channel's history followed by live messages, without gaps and duplicates.

A recovering subscription reads pages of the stream until they reach the channel's tail, which all of them share.
"""

import asyncio
from collections import deque
from enum import Enum

from artcafe_common.backoff import Backoff
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.history.gaps import Gap, read_page_after
from artcafe_gateway.history.outage import Outage, OutageStage, RecoveryDelayed, RecoveryFailed
from artcafe_gateway.history.reader import ReplayPosition
from artcafe_gateway.history.tail import PAGE_BYTES, PAGE_MESSAGES, StreamTail, to_broker_message
from artcafe_gateway.subscriptions.subject_subscription import SubjectSubscription, SubscriptionOwner

# Messages of the tail that are buffered during reading; older ones are dropped, and read from the stream.
MAX_BUFFERED_MESSAGES = 1000
MAX_BUFFERED_BYTES = 1024 * 1024
SEND_QUEUE_POLL_S = 0.02
# Between attempts to read while the broker or the stream is away.
FIRST_RETRY_PAUSE_S = 0.25
MAX_RETRY_PAUSE_S = 2.0
# The buffer outside of READING; never appended to.
_NO_MESSAGES: deque[BrokerMessage] = deque(maxlen=0)


class RecoveryState(Enum):
    """The state of a recovering subscription."""

    IDLE = "idle"
    READING = "reading"
    CAUGHT_UP = "caught up"
    LIVE = "live"


TRANSITIONS = {
    RecoveryState.IDLE: {RecoveryState.READING, RecoveryState.IDLE},
    RecoveryState.READING: {RecoveryState.READING, RecoveryState.CAUGHT_UP, RecoveryState.IDLE},
    RecoveryState.CAUGHT_UP: {RecoveryState.READING, RecoveryState.LIVE, RecoveryState.IDLE},
    RecoveryState.LIVE: {RecoveryState.IDLE},
}


class RecoveringSubscription(SubjectSubscription):
    """A socket's subscription to one channel that starts in its history.

        idle --activate--> reading --no more pages--> caught up --new message--> live
                              ^                           |
                              +-----------gap-------------+

    READING: pages of the stream are sent, and messages of the tail are buffered.
    CAUGHT_UP: messages of the tail are sent one by one, and those that the pages contained are skipped. A gap
    between the pages and the tail is possible where a replica of the stream that is behind served the pages.
    LIVE: the socket is in a render group. `deactivate` leads from each state to IDLE.
    """

    __slots__ = (
        "_bridge",
        "_buffer",
        "_buffered_bytes",
        "_delivered_seq",
        "_missed",
        "_outage",
        "_position",
        "_reader",
        "_state",
    )
    broker_subscription: StreamTail
    replays_stream = True

    def __init__(
        self,
        owner: SubscriptionOwner,
        subject: str,
        broker_subscription: StreamTail,
        bridge: Bridge,
        position: ReplayPosition,
    ) -> None:
        super().__init__(owner, subject, broker_subscription, ())
        self._bridge = bridge
        self._state = RecoveryState.IDLE
        # Where reading starts, until the first `activate`.
        self._position: ReplayPosition | None = position
        # The last message sent to the socket; not updated while LIVE.
        self._delivered_seq = 0
        # Messages of the tail received while READING.
        self._buffer = _NO_MESSAGES
        self._buffered_bytes = 0
        # Whether messages were dropped from the buffer since the last page was requested.
        self._missed = False
        self._reader: asyncio.Task[None] | None = None
        self._outage = Outage()

    def _enter(self, state: RecoveryState) -> None:
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"a subscription that is {self._state.value} cannot become {state.value}")
        self._state = state

    def activate(self) -> None:
        if self._position is None:
            self.refresh()
            return
        position, self._position = self._position, None
        self.broker_subscription.readers[self] = None
        self._delivered_seq = position.after_seq
        if position.gap is not None:
            self._owner.on_gap(self, position.gap)
        self._start_reading()

    def deactivate(self) -> None:
        self._enter(RecoveryState.IDLE)
        self.broker_subscription.readers.pop(self, None)
        super().deactivate()
        self._cancel_reader()
        self._buffer = _NO_MESSAGES

    def refresh(self) -> None:
        # Outside a group each message is rendered in the current form.
        if self._group_form is not None and (self._group_form, self._group_format) != (
            self.form,
            self._owner.format.name,
        ):
            self._leave_group()
            self._join_group()

    def deliver(self, message: BrokerMessage) -> None:
        """Buffers a message of the tail, or sends it and joins a render group."""
        if self._state is RecoveryState.READING:
            self._buffer.append(message)
            self._buffered_bytes += message.payload_size
            while len(self._buffer) > MAX_BUFFERED_MESSAGES or self._buffered_bytes > MAX_BUFFERED_BYTES:
                self._buffered_bytes -= self._buffer.popleft().payload_size
                self._missed = True
        elif self._state is not RecoveryState.CAUGHT_UP:
            return
        elif message.previous_seq > self._delivered_seq:
            self._start_reading()
        elif self._send_if_new(message):
            # From here on no message of the tail can be one that the pages contained.
            self.broker_subscription.listeners.pop(self, None)
            self._enter(RecoveryState.LIVE)
            self._join_group()

    def on_read(self) -> None:
        """The stream, or its tail, could be read again."""
        self._outage.record_success()

    def on_gap(self, gap: Gap) -> None:
        """The tail has missed messages; a subscription that reads the stream itself finds out itself."""
        if self._state in (RecoveryState.CAUGHT_UP, RecoveryState.LIVE):
            self._report_gap(gap)

    def _report_gap(self, gap: Gap) -> None:
        self._delivered_seq = max(self._delivered_seq, gap.to_seq)
        self._owner.on_gap(self, gap)

    def on_read_failed(self) -> None:
        """The stream, or its tail, could not be read: tells the client in time, and ends in the end."""
        stage = self._outage.record_failure()
        if stage is OutageStage.NOTHING_NEW or self._state is RecoveryState.IDLE:
            return
        error = RecoveryDelayed() if stage is OutageStage.NOTICE else RecoveryFailed()
        self._owner.on_recovery_error(self, error, self._last_seq)

    @property
    def _last_seq(self) -> int:
        # In a render group, every message of the tail was delivered.
        if self._state is RecoveryState.LIVE:
            return max(self._delivered_seq, self.broker_subscription.last_seq)
        return self._delivered_seq

    def _send_if_new(self, message: BrokerMessage) -> bool:
        if message.seq <= self._delivered_seq:
            return False
        self._delivered_seq = message.seq
        self.send(message)
        return True

    def _start_reading(self) -> None:
        self._enter(RecoveryState.READING)
        self._buffer, self._buffered_bytes = deque(), 0
        self.broker_subscription.add_listener(self)
        self._cancel_reader()
        self._reader = asyncio.create_task(self._read_pages())

    def _cancel_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read_pages(self) -> None:
        # nats-py turns the cancellation of a wait into an error if the connection has closed, so
        # cancelling does not always end the loop.
        backoff = Backoff(FIRST_RETRY_PAUSE_S, MAX_RETRY_PAUSE_S)
        while self._state is RecoveryState.READING:
            while self.send_queue.half_full:
                await asyncio.sleep(SEND_QUEUE_POLL_S)
            self._missed = False
            try:
                page, has_more, gap = await read_page_after(
                    self._bridge, self.subject, self._delivered_seq, PAGE_MESSAGES, PAGE_BYTES
                )
            except CommandError:
                # Until the broker or the stream is back, or the subscription ends.
                self.on_read_failed()
                await asyncio.sleep(backoff.next_pause_s())
                continue
            backoff.reset()
            self.on_read()
            if gap is not None:
                self._report_gap(gap)
            for stored in page:
                self._send_if_new(to_broker_message(self._bridge.signer, stored))
            if not has_more and self._try_catch_up(page_was_empty=not page):
                return

    def _try_catch_up(self, *, page_was_empty: bool) -> bool:
        buffered = self._buffer
        if self._missed and not buffered:
            # The page was requested before a message was dropped, which may be the newest one.
            return False
        # A gap before the first buffered message was deleted from the stream if an empty page confirms it, and
        # no message was dropped after that page was requested.
        confirmed = page_was_empty and not self._missed
        if buffered and buffered[0].previous_seq > self._delivered_seq and not confirmed:
            return False
        self._enter(RecoveryState.CAUGHT_UP)
        self._buffer, self._reader = _NO_MESSAGES, None
        for message in buffered:
            self._send_if_new(message)
        return True
