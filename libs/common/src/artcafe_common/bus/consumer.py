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

from artcafe_common.bus.caller import CallerContext, current_caller, set_caller, traced
from artcafe_common.bus.client import Bus, parse_caller
from artcafe_common.bus.command import Event
from artcafe_common.bus.errors import DECODE_ERRORS, CommandError, ServiceUnavailable
from artcafe_common.bus.events_stream import EVENTS_STREAM
from artcafe_common.concurrency import run_all

BATCH_SIZE = 100
# How long a batch waits for more events after its first one.
BATCH_WAIT_S = 0.01
FIRST_EVENT_WAIT_S = 5
ACK_WAIT_S = 10
PROGRESS_INTERVAL_S = ACK_WAIT_S / 4
# After this time, a batch that is not handled yet is delivered again.
MAX_BATCH_S = 300.0
MAX_RETRY_DELAY_S = 30.0
# How often an event is delivered at most if its handler fails because of the event itself. An outage of a
# dependency never ends the attempts.
MAX_DELIVERIES = 20
_EVENT_ERRORS = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
)
RECONNECT_PAUSE_S = 0.1
MAX_RECONNECT_PAUSE_S = 5.0
log = structlog.get_logger()


class EventConsumer:
    """A durable pull consumer of some event types.

    `handlers` maps each event class to its handler. An event whose handler raises is delivered again after an
    increasing delay. The handlers of a batch run in stream order unless `concurrent`.

    `results` counts the events by what became of them. An event is given up if it cannot be decoded, or if its
    handler failed MAX_DELIVERIES times because of it.
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
        self.durable = durable
        self._event_types = {kind.subject: kind for kind in handlers}
        self._handlers = handlers
        self._concurrent = concurrent
        self.results = {"handled": 0, "failed": 0, "given_up": 0}

    @property
    def terminated(self) -> int:
        """The number of events that were given up."""
        return self.results["given_up"]

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
            except (nats.errors.Error, JetStreamError, ServiceUnavailable, OSError) as error:
                log.warning("event_consumer_reconnecting", durable=self.durable, reason=repr(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_RECONNECT_PAUSE_S)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        await self._bus.ensure_events_stream()
        js = self._bus.nc.jetstream(timeout=5)
        await js.add_consumer(
            EVENTS_STREAM,
            ConsumerConfig(
                durable_name=self.durable,
                filter_subjects=sorted(self._event_types),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=10 * BATCH_SIZE,
            ),
        )
        return await js.pull_subscribe_bind(self.durable, EVENTS_STREAM, inbox_prefix=self._bus.inbox_prefix)

    async def _handle_batch(self, messages: Sequence[Msg]) -> None:
        unhandled = list(messages)
        progress = asyncio.create_task(_report_progress(unhandled))

        async def handle(message: Msg) -> None:
            await self._handle(message)
            unhandled.remove(message)

        try:
            if self._concurrent:
                await run_all(map(handle, messages))
            else:
                for message in messages:
                    await handle(message)
        finally:
            progress.cancel()

    async def _handle(self, message: Msg) -> None:
        kind = self._event_types.get(message.subject)
        set_caller(parse_caller(message) or CallerContext.service(self.durable))
        try:
            event = None if kind is None else msgspec.json.decode(message.data, type=kind)
        except DECODE_ERRORS:
            event = None
        if kind is None or event is None:
            await self._terminate(message, "event_malformed")
            return
        span = self._bus.tracer.resume(
            f"{kind.__name__} {self.durable}", "consumer", current_caller().traceparent
        )
        try:
            with traced(span):
                await self._handlers[kind](event)
        except Exception as error:
            self.results["failed"] += 1
            if isinstance(error, CommandError):
                # An outage of what the handler needs: one warning, not a traceback for each event and attempt.
                log.warning("event_postponed", durable=self.durable, reason=error.detail)
            else:
                log.exception("event_handler_failed", subject=message.subject, event_id=event.event_id)
            deliveries = message.metadata.num_delivered
            if isinstance(error, _EVENT_ERRORS) and deliveries >= MAX_DELIVERIES:
                await self._terminate(message, "event_given_up")
            else:
                await message.nak(delay=min(2.0 ** min(deliveries, 10), MAX_RETRY_DELAY_S))
        else:
            self.results["handled"] += 1
            await message.ack()

    async def _terminate(self, message: Msg, log_event: str) -> None:
        self.results["given_up"] += 1
        log.error(
            log_event,
            subject=message.subject,
            durable=self.durable,
            stream_seq=message.metadata.sequence.stream,
            terminated=self.terminated,
        )
        await message.term()


async def _report_progress(unhandled: Sequence[Msg]) -> None:
    """Tell the broker that the events of a long batch are still being handled, so that it does not repeat them."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(MAX_BATCH_S):
            while True:
                await asyncio.sleep(PROGRESS_INTERVAL_S)
                for message in list(unhandled):
                    await message.in_progress()


async def _fetch_batch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """Wait for an event, then return it with those that follow within BATCH_WAIT_S."""
    # A fetch of many that times out while the server's status message arrives leaves a pending request in
    # nats-py 2.16; the next fetch then returns its messages only at its own timeout. So the long wait is for
    # one event, which is returned at once.
    messages = await subscription.fetch(1, timeout=FIRST_EVENT_WAIT_S)
    with suppress(nats.errors.TimeoutError, TimeoutError):
        messages += await subscription.fetch(BATCH_SIZE - 1, timeout=BATCH_WAIT_S)
    return messages
