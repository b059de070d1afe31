"""A channel as its history tells it: what was kept first, then what comes, with no gap and no double.

The stream publishes what it keeps again, with its `seq` and that of the message before it. Whoever
follows reads pages of the stream until they meet what came meanwhile, and reads again whenever
something between was missed, as after a broken connection to the broker.
"""

import asyncio
from collections import deque
from datetime import datetime
from typing import Any

import msgspec

from artcafe_common.broker.subjects import REPUBLISH_PREFIX
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.message import FROM_HEADER, BrokerMessage
from artcafe_gateway.history.reader import ReplayPosition, StreamMessage, read_stream_page
from artcafe_gateway.subscriptions.subject_subscription import SubjectSubscription, SubscriptionOwner

PAGE = 200
PAGE_BYTES = 512 * 1024
# What may come while pages are read; of more, the newest are held, and the others are read.
MAX_BUFFERED = 1000
MAX_BUFFERED_BYTES = 1024 * 1024
LOOK_AGAIN_S = 0.02
RETRY_S = 0.5
_SEQ = b"\r\nNats-Sequence:"
_PREVIOUS = b"\r\nNats-Last-Sequence:"
_TIME = b"\r\nNats-Time-Stamp:"


class ReplaySubscription(BrokerSubscription):
    """One channel's messages as they are kept; `seq` is the last one's."""

    __slots__ = ("last_seq", "recovering")

    def __init__(self, tenant_id: str, make: type[RenderGroup]) -> None:
        super().__init__(tenant_id, make)
        self.recovering: dict[RecoveringSubscription, None] = {}
        self.last_seq = 0

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Pass on what was kept, and have everybody read what is missing before it."""
        delivery = BrokerMessage(
            self._tenant_id, subject.removeprefix(f"{REPUBLISH_PREFIX}."), "", payload, headers
        )
        try:
            delivery.seq, delivery.previous_seq = int(_value(headers, _SEQ)), int(_value(headers, _PREVIOUS))
            delivery.timestamp = msgspec.convert(_value(headers, _TIME), datetime)
        except ValueError:
            # Not the broker's: whoever holds a key of the account can publish what they like in it.
            return
        if delivery.previous_seq > self.last_seq > 0:
            self.on_resubscribed()
        self.last_seq = delivery.seq
        self.dispatch(delivery)

    def on_resubscribed(self) -> None:
        """Something may have been missed: everybody reads on."""
        for subscription in tuple(self.recovering):
            subscription.recover()


class RecoveringSubscription(SubjectSubscription):
    """A socket that follows a channel's history."""

    __slots__ = ("_bridge", "_buffer", "_buffer_bytes", "_delivered_seq", "_position", "_reader")

    def __init__(
        self, owner: SubscriptionOwner, subject: str, broker_subscription: ReplaySubscription, bridge: Bridge
    ) -> None:
        super().__init__(owner, subject, broker_subscription, ())
        self.broker_subject = f"{REPUBLISH_PREFIX}.{subject}"
        self._bridge = bridge
        self._position: ReplayPosition | None = None
        # The last message that the socket got; what it gets with all others is not noted.
        self._delivered_seq = 0
        # What came while pages are read.
        self._buffer: deque[BrokerMessage] | None = None
        self._buffer_bytes = 0
        self._reader: asyncio.Task[None] | None = None

    def set_position(self, position: ReplayPosition) -> None:
        """Begin at that position, with `begin`."""
        self.deactivate()
        self._position = position

    def activate(self) -> None:
        if self._position is not None:
            position, self._position = self._position, None
            self._delivered_seq = position.after_seq
            self.broker_subscription.recovering[self] = None  # type: ignore[attr-defined] # a ReplaySubscription
            self._read(position.start)
        else:
            self.refresh()

    def deactivate(self) -> None:
        super().deactivate()
        self.broker_subscription.recovering.pop(self, None)  # type: ignore[attr-defined]
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def refresh(self) -> None:
        # While pages are read each message is written in the form of that moment.
        if self._joined_form is not None and (self._joined_form, self._joined_frame_type) != (
            self.form,
            self._owner.frame_type,
        ):
            self._leave()
            self._join()

    def recover(self) -> None:
        """Read what may be missing."""
        if self._buffer is not None:
            self._buffer.clear()
            self._buffer_bytes = 0
            return
        if self._joined_form is not None:
            self._delivered_seq = max(self._delivered_seq, self.broker_subscription.last_seq)  # type: ignore[attr-defined]
            self._leave()
        self._read({"seq": self._delivered_seq + 1})

    def deliver(self, delivery: BrokerMessage) -> None:
        """Hold a message until the pages have come so far; then join the others who listen."""
        if self._buffer is not None:
            self._buffer.append(delivery)
            self._buffer_bytes += delivery.payload_size
            while len(self._buffer) > MAX_BUFFERED or self._buffer_bytes > MAX_BUFFERED_BYTES:
                self._buffer_bytes -= self._buffer.popleft().payload_size
        elif self._send(delivery):
            # Only now: what the stream tells late, of what was read, would not be known as such.
            self.broker_subscription.listeners.pop(self, None)
            self._join()

    def _send(self, delivery: BrokerMessage) -> bool:
        if delivery.seq <= self._delivered_seq:
            return False
        self._delivered_seq = delivery.seq
        self.send(delivery)
        return True

    def _read(self, begin: dict[str, Any]) -> None:
        self._buffer, self._buffer_bytes = deque(), 0
        self.broker_subscription.listeners[self] = None
        if self._reader is not None:
            self._reader.cancel()
        self._reader = asyncio.create_task(self._read_pages(begin))

    async def _read_pages(self, begin: dict[str, Any]) -> None:
        while True:
            while self.send_queue.half_full:
                await asyncio.sleep(LOOK_AGAIN_S)
            try:
                page, more = await read_stream_page(self._bridge, self.subject, begin, PAGE, PAGE_BYTES)
            except CommandError:
                # The broker is away, or the stream: they come back, or the socket goes.
                await asyncio.sleep(RETRY_S)
                continue
            for stored in page:
                self._send(_to_broker_message(self._owner.tenant_id, stored))
            begin = {"seq": page[-1].seq + 1} if page else begin
            if not more and self._try_catch_up(nothing_read=not page):
                return

    def _try_catch_up(self, *, nothing_read: bool) -> bool:
        waiting = self._buffer or ()
        # What is before the first that waits and was not there to be read is kept no longer.
        if waiting and waiting[0].previous_seq > self._delivered_seq and not nothing_read:
            return False
        self._buffer = self._reader = None
        for delivery in waiting:
            self._send(delivery)
        return True


def _to_broker_message(tenant_id: str, stored: StreamMessage) -> BrokerMessage:
    delivery = BrokerMessage(tenant_id, stored.subject, "", stored.data, b"")
    delivery.seq = stored.seq
    delivery.sender = stored.headers.get(FROM_HEADER)
    delivery.timestamp = stored.timestamp
    return delivery


def _value(headers: bytes, line: bytes) -> str:
    # The broker's own lines stand last: whoever published some of that name is not believed.
    at = headers.rindex(line) + len(line)
    return headers[at : headers.index(b"\r\n", at)].strip().decode()
