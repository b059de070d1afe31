"""The durable side of events: each is applied by one instance, and again until it succeeded."""

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
from artcafe_common.bus.client import EVENTS_STREAM, Bus, caller_of
from artcafe_common.bus.command import Event

BATCH = 100
# How long more events are gathered once there is one.
GATHER_S = 0.01
ACK_WAIT_S = 10
log = structlog.get_logger()


class EventConsumer:
    """A durable pull consumer of some kinds of event.

    `handlers` maps each event class to what applies it; a handler that raises gets the event
    again after a growing pause. Handlers of one batch run in stream order unless `concurrent`.
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
        self._kinds = {kind.subject: kind for kind in handlers}
        self._handlers = handlers
        self._concurrent = concurrent

    async def run(self) -> None:
        """Apply events until cancelled; outlives the broker's restarts."""
        pause = 0.1
        while True:
            try:
                subscription = await self._subscribe()
                try:
                    while True:
                        with suppress(nats.errors.TimeoutError, TimeoutError):
                            await self._apply(await _waiting(subscription))
                        pause = 0.1
                finally:
                    # nats-py 2.16 never counts some of its messages as done: draining it would hang.
                    with suppress(nats.errors.Error, OSError):
                        await subscription.unsubscribe()
            except (nats.errors.Error, JetStreamError, OSError) as error:
                log.warning("event_consumer_retries", durable=self._durable, reason=repr(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        await self._bus.ensure_events_stream()
        js = self._bus.nc.jetstream(timeout=5)
        await js.add_consumer(
            EVENTS_STREAM,
            ConsumerConfig(
                durable_name=self._durable,
                filter_subjects=sorted(self._kinds),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=10 * BATCH,
            ),
        )
        return await js.pull_subscribe_bind(self._durable, EVENTS_STREAM, inbox_prefix=self._bus.inbox_prefix)

    async def _apply(self, messages: Sequence[Msg]) -> None:
        if self._concurrent:
            await asyncio.gather(*(self._one(message) for message in messages))
            return
        for message in messages:
            await self._one(message)

    async def _one(self, message: Msg) -> None:
        kind = self._kinds[message.subject]
        set_caller(caller_of(message) or CallerContext.service(self._durable))
        try:
            event = msgspec.json.decode(message.data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.exception("event_not_understood", subject=message.subject)
            await message.term()
            return
        try:
            await self._handlers[kind](event)
        except Exception:
            log.exception("event_not_applied", subject=message.subject, event_id=event.event_id)
            await message.nak(delay=min(2.0**message.metadata.num_delivered, 30.0))
        else:
            await message.ack()


async def _waiting(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """The events that wait, as soon as there is one."""
    # When a fetch of many ends just as the server's word of its end is under way, nats-py 2.16
    # leaves a request behind, and the next fetch then sits on what comes until its whole timeout
    # is over. So the long wait is for one event, which cannot be sat on.
    messages = await subscription.fetch(1, timeout=5)
    with suppress(nats.errors.TimeoutError, TimeoutError):
        messages += await subscription.fetch(BATCH - 1, timeout=GATHER_S)
    return messages
