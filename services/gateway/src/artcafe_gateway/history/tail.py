"""The end of one channel's history: what the stream stores from now on, in its order.

A message on the channel's subject says only that the stream will store something. The message itself is read from the
stream, so that nothing is missed, repeated or believed that the stream does not have. Many messages that arrive
together are read as one page.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from artcafe_common.backoff import Backoff
from artcafe_common.bus.errors import CommandError
from artcafe_gateway.bridges.bridge import Bridge
from artcafe_gateway.delivery.fanout import BrokerSubscription, GroupFactory
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.delivery.read_time import ReadTime
from artcafe_gateway.delivery.signatures import MessageSigner
from artcafe_gateway.history.gaps import CLOCK_MARGIN, Gap, read_page_after
from artcafe_gateway.history.stream import StreamMessage, get_last_seq, read_stream_page

PAGE_MESSAGES = 200
PAGE_BYTES = 512 * 1024
# The stream stores a message a moment after it was published. One that is not stored by the end of this time (a
# repeated one, for example) is not expected any more.
STORE_TIMEOUT_S = 10.0
FIRST_DELAY_S = 0.001
MAX_DELAY_S = 0.5
# Between attempts to read while the broker or the stream is away.
FIRST_RETRY_PAUSE_S = 0.05
MAX_RETRY_PAUSE_S = 2.0


class TailReader(Protocol):
    """Learns whether a tail can be read, and what is missing in it."""

    def on_gap(self, gap: Gap) -> None:
        """Messages were removed from the stream before the tail read them."""

    def on_read(self) -> None:
        """The tail was read."""

    def on_read_failed(self) -> None:
        """The tail could not be read."""


class StreamTail(BrokerSubscription):
    """One channel's newly stored messages for its subscribers; `last_seq` is that of the latest one read.

    `readers` learn when it cannot be read, and when it can again.
    """

    __slots__ = (
        "_backoff",
        "_bridge",
        "_complete_at",
        "_deadline",
        "_expected",
        "_is_behind",
        "_reader",
        "_released",
        "_retry_pause_s",
        "_rung",
        "_starting",
        "_subject",
        "last_seq",
        "readers",
    )

    def __init__(self, signer: MessageSigner, group_type: GroupFactory) -> None:
        super().__init__(signer, group_type)
        self.last_seq = 0
        # Messages that were published and not read yet, and when they are given up.
        self._expected = 0
        self._deadline = 0.0
        self._rung = asyncio.Event()
        self._released = False
        self._starting: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self.readers: dict[TailReader, None] = {}
        self._backoff = Backoff(FIRST_RETRY_PAUSE_S, MAX_RETRY_PAUSE_S)
        # While reading fails.
        self._retry_pause_s = 0.0
        # When the tail had read everything; None while there is more, and messages may be removed before they are read.
        self._complete_at: datetime | None = None
        self._is_behind = False

    async def start(self, bridge: Bridge, subject: str) -> None:
        """Begins at the newest stored message, unless the tail is read already. CommandError."""
        if self._reader is not None:
            return
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(bridge, subject))
        await asyncio.shield(self._starting)

    async def _start(self, bridge: Bridge, subject: str) -> None:
        self._bridge, self._subject = bridge, subject
        self._complete_at = datetime.now(UTC) - CLOCK_MARGIN
        self.last_seq = await get_last_seq(bridge, subject)
        self._reader = asyncio.create_task(self._run())

    def receive(
        self,
        subject: bytes,  # noqa: ARG002
        reply: bytes,  # noqa: ARG002
        payload: bytes,  # noqa: ARG002
        headers: bytes,  # noqa: ARG002
        read_time: ReadTime,  # noqa: ARG002
    ) -> None:
        """Notes that the stream is about to store a message."""
        self._expect_message()

    def on_message(self, subject: str, reply: str, payload: bytes, headers: bytes) -> None:  # noqa: ARG002
        """Notes that the stream is about to store a message."""
        self._expect_message()

    def on_resubscribed(self) -> None:
        """Messages may have been published meanwhile."""
        self._is_behind = True
        self._expect_message()

    def on_released(self) -> None:
        """Ends reading: no socket is subscribed any more."""
        self._released = True
        for task in (self._starting, self._reader):
            if task is not None:
                task.cancel()

    def _expect_message(self) -> None:
        self._expected += 1
        self._deadline = asyncio.get_running_loop().time() + STORE_TIMEOUT_S
        self._rung.set()

    async def _run(self) -> None:
        delay = FIRST_DELAY_S
        # nats-py turns the cancellation of a wait into an error if the connection has closed, so cancelling does
        # not always end the loop.
        while not self._released:
            try:
                async with asyncio.timeout(delay if self._expected else None):
                    await self._rung.wait()
                delay = FIRST_DELAY_S
            except TimeoutError:
                delay = min(delay * 2, MAX_DELAY_S)
            self._rung.clear()
            if self._retry_pause_s:
                await asyncio.sleep(self._retry_pause_s)
            found, has_more = await self._read_page()
            # What is left is read next, also if its publishing was missed.
            self._expected = max(self._expected - found, int(has_more))
            if found and self._expected:
                self._rung.set()
            elif self._expected and asyncio.get_running_loop().time() > self._deadline:
                self._expected = 0

    async def _read_page(self) -> tuple[int, bool]:
        """Dispatches what is stored after `last_seq`; returns the number of messages, and whether more follow."""
        started_at = datetime.now(UTC)
        try:
            page, has_more, gap = await self._read_after()
        except CommandError:
            # The broker or the stream is away: this says nothing about the messages.
            self._is_behind = True
            self._retry_pause_s = self._backoff.next_pause_s()
            self._deadline = asyncio.get_running_loop().time() + STORE_TIMEOUT_S + self._retry_pause_s
            for reader in tuple(self.readers):
                reader.on_read_failed()
            return 0, False
        if self._retry_pause_s:
            self._retry_pause_s = 0.0
            self._backoff.reset()
            for reader in tuple(self.readers):
                reader.on_read()
        self._is_behind, self._complete_at = has_more, None if has_more else started_at - CLOCK_MARGIN
        if gap is not None:
            self.last_seq = gap.to_seq
            for reader in tuple(self.readers):
                reader.on_gap(gap)
        for stored in page:
            message = to_broker_message(self._signer, stored)
            message.previous_seq, self.last_seq = self.last_seq, stored.seq
            self.dispatch(message)
        return len(page), has_more

    async def _read_after(self) -> tuple[list[StreamMessage], bool, Gap | None]:
        if self._is_behind:
            return await read_page_after(
                self._bridge,
                self._subject,
                self.last_seq,
                PAGE_MESSAGES,
                PAGE_BYTES,
                seen_until=self._complete_at,
            )
        # The stream keeps messages for longer than it takes to read them when they arrive.
        page, has_more = await read_stream_page(
            self._bridge, self._subject, {"seq": self.last_seq + 1}, PAGE_MESSAGES, PAGE_BYTES
        )
        return page, has_more, None


class _StoredSignal:
    """Is set when the tail has read a message."""

    def __init__(self) -> None:
        self.stored = asyncio.Event()

    def deliver(self, message: BrokerMessage) -> None:  # noqa: ARG002
        self.stored.set()


@asynccontextmanager
async def watch_channel(bridge: Bridge, subject: str) -> AsyncIterator[asyncio.Event]:
    """Yields an event that is set when the stream stores a message of a channel. CommandError."""
    tail = await bridge.streams.acquire_confirmed(subject, StreamTail)
    signal = _StoredSignal()
    try:
        await tail.start(bridge, subject)
        tail.add_listener(signal)
        yield signal.stored
    finally:
        tail.listeners.pop(signal, None)
        await bridge.streams.release_subscription(subject)


def to_broker_message(signer: MessageSigner, stored: StreamMessage) -> BrokerMessage:
    """A stored message as one of the broker's, with its `seq`."""
    message = BrokerMessage(signer, stored.subject, "", stored.data, stored.headers, stored.timestamp)
    message.seq = stored.seq
    return message
