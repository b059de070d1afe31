"""Replay of a channel's history followed by live messages, without gaps and duplicates.

The history stream republishes each message that it stores, with its `seq` and that of the message
before it on the subject. A recovering subscription reads pages of the stream until they reach the
republished messages, and reads again whenever a message was missed, e.g. after a reconnect.
"""

import asyncio
from collections import deque
from datetime import datetime
from enum import Enum

import msgspec

from artcafe_common.broker.subjects import REPUBLISH_PREFIX
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.message import FROM_HEADER, BrokerMessage
from artcafe_gateway.history.reader import ReplayPosition
from artcafe_gateway.history.stream import StreamMessage, StreamStart, read_stream_page
from artcafe_gateway.subscriptions.subject_subscription import SubjectSubscription, SubscriptionOwner

PAGE_MESSAGES = 200
PAGE_BYTES = 512 * 1024
# Live messages that are buffered during reading; older ones are dropped, and read from the stream.
MAX_BUFFERED_MESSAGES = 1000
MAX_BUFFERED_BYTES = 1024 * 1024
SEND_QUEUE_POLL_S = 0.02
RETRY_DELAY_S = 0.5
_SEQ_LINE = b"\r\nNats-Sequence:"
_PREVIOUS_SEQ_LINE = b"\r\nNats-Last-Sequence:"
_TIME_LINE = b"\r\nNats-Time-Stamp:"
# The buffer outside of READING; never appended to.
_NO_MESSAGES: deque[BrokerMessage] = deque(maxlen=0)


class ReplaySubscription(BrokerSubscription):
    """One channel's stored messages as the stream republishes them; `last_seq` is that of the latest."""

    __slots__ = ("last_seq", "recovering")

    def __init__(self, tenant_id: str, group_type: type[RenderGroup]) -> None:
        super().__init__(tenant_id, group_type)
        self.recovering: dict[RecoveringSubscription, None] = {}
        self.last_seq = 0

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Dispatches a stored message; a gap before it starts recovery."""
        message = BrokerMessage(
            self._tenant_id, subject.removeprefix(f"{REPUBLISH_PREFIX}."), "", payload, headers
        )
        try:
            message.seq = int(_last_header(headers, _SEQ_LINE))
            message.previous_seq = int(_last_header(headers, _PREVIOUS_SEQ_LINE))
            message.timestamp = msgspec.convert(_last_header(headers, _TIME_LINE), datetime)
        except ValueError:
            # Not republished by the broker: any NATS user of the account can publish to this subject.
            return
        if message.previous_seq > self.last_seq > 0:
            self.on_resubscribed()
        self.last_seq = message.seq
        self.dispatch(message)

    def on_resubscribed(self) -> None:
        """Messages may have been missed: all subscriptions read the stream again."""
        for subscription in tuple(self.recovering):
            subscription.recover()


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
    RecoveryState.LIVE: {RecoveryState.READING, RecoveryState.IDLE},
}


class RecoveringSubscription(SubjectSubscription):
    """A socket's subscription to one channel that starts in its history.

        idle --activate--> reading --no more pages--> caught up --new message--> live
                              ^                           |                       |
                              +-----------gap-------------+-----------gap---------+

    READING: pages of the stream are sent, and live messages are buffered.
    CAUGHT_UP: live messages are sent one by one, and those that the pages contained are skipped.
    LIVE: the socket is in a render group. `deactivate` leads from each state to IDLE.
    """

    __slots__ = (
        "_bridge",
        "_buffer",
        "_buffered_bytes",
        "_delivered_seq",
        "_missed",
        "_position",
        "_reader",
        "_state",
    )
    broker_subscription: ReplaySubscription

    def __init__(
        self,
        owner: SubscriptionOwner,
        subject: str,
        broker_subscription: ReplaySubscription,
        bridge: Bridge,
        position: ReplayPosition,
    ) -> None:
        super().__init__(owner, subject, broker_subscription, ())
        self.broker_subject = f"{REPUBLISH_PREFIX}.{subject}"
        self._bridge = bridge
        self._state = RecoveryState.IDLE
        # Where reading starts, until the first `activate`.
        self._position: ReplayPosition | None = position
        # The last message sent to the socket; not updated while LIVE.
        self._delivered_seq = 0
        # Live messages received while READING.
        self._buffer = _NO_MESSAGES
        self._buffered_bytes = 0
        # Whether messages were dropped from the buffer or missed since the last page was requested.
        self._missed = False
        self._reader: asyncio.Task[None] | None = None

    def _enter(self, state: RecoveryState) -> None:
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"a subscription that is {self._state.value} cannot become {state.value}")
        self._state = state

    def activate(self) -> None:
        if self._position is None:
            self.refresh()
            return
        position, self._position = self._position, None
        self._delivered_seq = position.after_seq
        self.broker_subscription.recovering[self] = None
        self._start_reading(position.start)

    def deactivate(self) -> None:
        self._enter(RecoveryState.IDLE)
        super().deactivate()
        self.broker_subscription.recovering.pop(self, None)
        self._cancel_reader()
        self._buffer = _NO_MESSAGES

    def refresh(self) -> None:
        # Outside a group each message is rendered in the current form.
        if self._group_form is not None and (self._group_form, self._group_frame_type) != (
            self.form,
            self._owner.frame_type,
        ):
            self._leave_group()
            self._join_group()

    def recover(self) -> None:
        """Reads the messages that may have been missed."""
        if self._state is RecoveryState.READING:
            # What was buffered before the gap is read from the stream together with the gap.
            self._buffer, self._buffered_bytes = deque(), 0
            self._missed = True
            return
        if self._state is RecoveryState.LIVE:
            self._delivered_seq = max(self._delivered_seq, self.broker_subscription.last_seq)
            self._leave_group()
        self._start_reading({"seq": self._delivered_seq + 1})

    def deliver(self, message: BrokerMessage) -> None:
        """Buffers a live message, or sends it and joins a render group."""
        if self._state is RecoveryState.READING:
            self._buffer.append(message)
            self._buffered_bytes += message.payload_size
            while len(self._buffer) > MAX_BUFFERED_MESSAGES or self._buffered_bytes > MAX_BUFFERED_BYTES:
                self._buffered_bytes -= self._buffer.popleft().payload_size
                self._missed = True
        elif self._state is RecoveryState.CAUGHT_UP and self._send_if_new(message):
            # From here on no republished message can be one that the pages contained.
            self.broker_subscription.listeners.pop(self, None)
            self._enter(RecoveryState.LIVE)
            self._join_group()

    def _send_if_new(self, message: BrokerMessage) -> bool:
        if message.seq <= self._delivered_seq:
            return False
        self._delivered_seq = message.seq
        self.send(message)
        return True

    def _start_reading(self, start: StreamStart) -> None:
        self._enter(RecoveryState.READING)
        self._buffer, self._buffered_bytes = deque(), 0
        self.broker_subscription.listeners[self] = None
        self._cancel_reader()
        self._reader = asyncio.create_task(self._read_pages(start))

    def _cancel_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read_pages(self, start: StreamStart) -> None:
        # nats-py turns the cancellation of a wait into an error if the connection has closed, so
        # cancelling does not always end the loop.
        while self._state is RecoveryState.READING:
            while self.send_queue.half_full:
                await asyncio.sleep(SEND_QUEUE_POLL_S)
            self._missed = False
            try:
                page, has_more = await read_stream_page(
                    self._bridge, self.subject, start, PAGE_MESSAGES, PAGE_BYTES
                )
            except CommandError:
                # Until the broker or the stream is back, or the socket closes.
                await asyncio.sleep(RETRY_DELAY_S)
                continue
            for stored in page:
                self._send_if_new(_to_broker_message(self._owner.tenant_id, stored))
            start = {"seq": page[-1].seq + 1} if page else start
            if not has_more and self._try_catch_up(page_was_empty=not page):
                return

    def _try_catch_up(self, *, page_was_empty: bool) -> bool:
        buffered = self._buffer
        # A gap before the first buffered message was deleted from the stream if an empty page confirms it, and
        # no message was dropped or missed after that page was requested.
        confirmed = page_was_empty and not self._missed
        if buffered and buffered[0].previous_seq > self._delivered_seq and not confirmed:
            return False
        self._enter(RecoveryState.CAUGHT_UP)
        self._buffer, self._reader = _NO_MESSAGES, None
        for message in buffered:
            self._send_if_new(message)
        return True


def _to_broker_message(tenant_id: str, stored: StreamMessage) -> BrokerMessage:
    message = BrokerMessage(tenant_id, stored.subject, "", stored.data, b"")
    message.seq = stored.seq
    message.sender = stored.headers.get(FROM_HEADER)
    message.timestamp = stored.timestamp
    return message


def _last_header(headers: bytes, line_start: bytes) -> str:
    # The broker appends its headers; a publisher may have set headers of the same name before them.
    at = headers.rindex(line_start) + len(line_start)
    return headers[at : headers.index(b"\r\n", at)].strip().decode()
