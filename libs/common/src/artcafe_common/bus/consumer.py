"""Consumes events with a durable JetStream consumer: one instance handles each event, until it succeeds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import Error as JetStreamError

from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.client import EVENTS_STREAM, Bus, parse_caller
from artcafe_common.bus.command import Event

BATCH_SIZE = 100
# How long a batch waits for more events after its first one.
BATCH_WAIT_S = 0.01
FIRST_EVENT_WAIT_S = 5
ACK_WAIT_S = 10
MAX_RETRY_DELAY_S = 30.0
RECONNECT_PAUSE_S = 0.1
MAX_RECONNECT_PAUSE_S = 5.0
log = structlog.get_logger()


class EventConsumer:
    """A durable pull consumer of some event types.

    `handlers` maps each event class to its handler. An event whose handler raises is delivered again after an
    increasing delay. The handlers of a batch run in stream order unless `concurrent`.
    """

    def __init__(
        self,
        bus: Bus,
        durable: str,
        handlers: dict[type[Event], Callable[..., Awaitable[None]]],
        *,
        concurrent: bool = False,
    ) -> None:
        for kind in handlers:
            if durable not in kind.consumers:
                raise TypeError(f"{kind.__name__} does not declare the consumer {durable}")
        self._bus = bus
        self._durable = durable
        self._event_types = {kind.subject: kind for kind in handlers}
        self._handlers = handlers
        self._concurrent = concurrent

    async def run(self) -> None:
        """Handle events until cancelled; reconnects to the broker."""
        pause = RECONNECT_PAUSE_S
        while True:
            try:
                subscription = await self._subscribe()
                try:
                    while True:
                        with suppress(nats.errors.TimeoutError, TimeoutError):
                            await self._handle_batch(await _fetch_batch(subscription))
                        pause = RECONNECT_PAUSE_S
                finally:
                    # Draining would hang: nats-py 2.16 does not count some of its messages as handled.
                    with suppress(nats.errors.Error, OSError):
                        await subscription.unsubscribe()
            except (nats.errors.Error, JetStreamError, OSError) as error:
                log.warning("event_consumer_reconnecting", durable=self._durable, reason=repr(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_RECONNECT_PAUSE_S)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        await self._bus.ensure_events_stream()
        js = self._bus.nc.jetstream(timeout=5)
        await js.add_consumer(
            EVENTS_STREAM,
            ConsumerConfig(
                durable_name=self._durable,
                filter_subjects=sorted(self._event_types),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=10 * BATCH_SIZE,
            ),
        )
        return await js.pull_subscribe_bind(self._durable, EVENTS_STREAM, inbox_prefix=self._bus.inbox_prefix)

    async def _handle_batch(self, messages: Sequence[Msg]) -> None:
        if self._concurrent:
            await asyncio.gather(*map(self._handle, messages))
            return
        for message in messages:
            await self._handle(message)

    async def _handle(self, message: Msg) -> None:
        kind = self._event_types[message.subject]
        set_caller(parse_caller(message) or CallerContext.service(self._durable))
        try:
            event = msgspec.json.decode(message.data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.exception("event_malformed", subject=message.subject)
            await message.term()
            return
        try:
            await self._handlers[kind](event)
        except Exception:
            log.exception("event_handler_failed", subject=message.subject, event_id=event.event_id)
            await message.nak(delay=min(2.0**message.metadata.num_delivered, MAX_RETRY_DELAY_S))
        else:
            await message.ack()


async def _fetch_batch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """Wait for an event, then return it with those that follow within BATCH_WAIT_S."""
    # A fetch of many that times out while the server's status message arrives leaves a pending request in
    # nats-py 2.16; the next fetch then returns its messages only at its own timeout. So the long wait is for
    # one event, which is returned at once.
    messages = await subscription.fetch(1, timeout=FIRST_EVENT_WAIT_S)
    with suppress(nats.errors.TimeoutError, TimeoutError):
        messages += await subscription.fetch(BATCH_SIZE - 1, timeout=BATCH_WAIT_S)
    return messages
