"""The calling side of the bus: commands, events and signals over one NATS connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import Error as JetStreamError
from nats.micro.request import ERROR_CODE_HEADER

from artcafe_common.bus.caller import (
    CALLER_HEADER,
    DEADLINE_HEADER,
    TRACE_HEADER,
    CallerContext,
    child_traceparent,
    current_caller,
    set_caller,
)
from artcafe_common.bus.command import Command, Event, Signal, reply_type, service_of
from artcafe_common.bus.errors import (
    COMMON_ERRORS,
    BadGateway,
    CommandError,
    DeadlineExceeded,
    ErrorBody,
    ServiceUnavailable,
)

R = TypeVar("R")
E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=Signal)

EVENTS_STREAM = "EVENTS"
EVENTS_SUBJECT = "artcafe.events.>"
# A service that is being restarted is back within this time; nothing was done in the meantime.
NO_RESPONDERS_GRACE_S = 2.0

log = structlog.get_logger()


class _Undelivered(ServiceUnavailable):
    """Nobody got the request: trying again cannot do it twice."""


def inbox_prefix(service: str) -> str:
    """Where replies to a service arrive; no other service's credentials can listen there."""
    return f"_INBOX_{service}"


class Bus:
    """Typed calls to the other services.

    Safe for concurrent use; every call has the deadline that its command declares.
    """

    def __init__(self, nc: Nats, *, service: str) -> None:
        self.nc = nc
        self._service = service
        # Each service may listen on its own inboxes only; nats-py's JetStream asks for the prefix.
        self.inbox_prefix = f"{inbox_prefix(service)}.".encode()
        self._js = nc.jetstream(timeout=5)

    async def call(
        self,
        command: Command[R],
        *,
        caller: CallerContext | None = None,
        deadline_s: float | None = None,
        wait_for_recovery: bool = True,
    ) -> R:
        """The reply to `command`, or the CommandError that its service raised.

        Nobody listening is ServiceUnavailable, for the `wait_for_recovery` after a short grace for a restart;
        no answer in time is DeadlineExceeded; an undeclared error or reply is BadGateway.
        """
        budget = command.deadline_s if deadline_s is None else deadline_s
        ends_at = time.monotonic() + budget
        pause = 0.05
        while True:
            try:
                return await self._once(command, caller or current_caller(), ends_at)
            except ServiceUnavailable as error:
                # What was not delivered was not done; the service's own 503 is passed on, unless
                # doing it twice is harmless.
                retriable = isinstance(error, _Undelivered) or command.idempotent
                grace_over = time.monotonic() + pause > min(ends_at, ends_at - budget + NO_RESPONDERS_GRACE_S)
                if not wait_for_recovery or not retriable or grace_over:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.4)

    async def _once(self, command: Command[R], caller: CallerContext, ends_at: float) -> R:
        kind = type(command)
        left = ends_at - time.monotonic()
        if not self.nc.is_connected:
            # nats-py would keep the request for after the reconnect, when nobody waits for it.
            raise _Undelivered("the message broker is not available")
        headers = {
            CALLER_HEADER: msgspec.json.encode(caller).decode("ascii", "replace"),
            TRACE_HEADER: child_traceparent(caller.traceparent),
            DEADLINE_HEADER: str(int((time.time() + left) * 1000)),
        }
        try:
            message = await self.nc.request(
                kind.subject, msgspec.json.encode(command), timeout=max(left, 0.001), headers=headers
            )
        except nats.errors.NoRespondersError as error:
            raise _Undelivered(f"{service_of(kind)} is not available") from error
        except (nats.errors.TimeoutError, TimeoutError) as error:
            raise DeadlineExceeded(f"{service_of(kind)} did not answer in time") from error
        except (nats.errors.Error, OSError) as error:
            raise ServiceUnavailable("the message broker is not available") from error
        if message.headers and ERROR_CODE_HEADER in message.headers:
            raise _error_from(kind, message.data)
        try:
            reply: R = msgspec.json.decode(message.data, type=reply_type(kind))
        except msgspec.DecodeError as error:
            raise BadGateway from error
        return reply

    async def ensure_events_stream(self) -> None:
        """Create the stream that keeps events, where it does not exist yet."""
        await self._js.add_stream(
            StreamConfig(
                name=EVENTS_STREAM,
                subjects=[EVENTS_SUBJECT],
                max_age=7 * 24 * 3600,
                max_bytes=1 << 30,
                discard=DiscardPolicy.OLD,
                duplicate_window=120,
            )
        )

    async def publish(self, event: Event) -> None:
        """Store an event; when this returns, the broker has it on disk. ServiceUnavailable otherwise."""
        await self.publish_encoded(type(event).subject, event.event_id, msgspec.json.encode(event))

    async def publish_encoded(self, subject: str, event_id: str, data: bytes) -> None:
        """As `announce`, for an event that was kept as its JSON."""
        try:
            await self._js.publish(
                subject,
                data,
                headers={
                    "Nats-Msg-Id": event_id,
                    CALLER_HEADER: msgspec.json.encode(current_caller()).decode("ascii", "replace"),
                },
            )
        except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
            raise ServiceUnavailable("the event could not be stored") from error

    async def notify(self, signal: Signal) -> None:
        """Tell whoever listens now; nothing is kept, nobody answers."""
        await self.nc.publish(type(signal).subject, msgspec.json.encode(signal))

    async def subscribe(self, event: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """Hear events live in *every* instance (for caches); what is missed stays missed."""
        await self._listen(event.subject, event, handler)

    async def subscribe_signal(
        self, signal: type[S], handler: Callable[[S], Awaitable[None]], *, shared: bool = True
    ) -> None:
        """Hear signals; `shared` spreads them over the instances of this service."""
        await self._listen(signal.subject, signal, handler, queue=self._service if shared else "")

    async def _listen(
        self,
        subject: str,
        kind: type[E] | type[S],
        handler: Callable[[E], Awaitable[None]] | Callable[[S], Awaitable[None]],
        queue: str = "",
    ) -> None:
        async def receive(message: Msg) -> None:
            set_caller(caller_of(message) or CallerContext.service(self._service))
            try:
                await handler(msgspec.json.decode(message.data, type=kind))  # type: ignore[arg-type]
            except Exception:
                log.exception("listener_failed", subject=message.subject)

        await self.nc.subscribe(subject, queue=queue, cb=receive)


def caller_of(message: Msg) -> CallerContext | None:
    """The caller that a message's headers carry, if any."""
    raw = (message.headers or {}).get(CALLER_HEADER)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=CallerContext)
    except msgspec.DecodeError:
        return None


def _error_from(command: type[Command[R]], data: bytes) -> CommandError:
    try:
        body = msgspec.json.decode(data, type=ErrorBody)
    except msgspec.DecodeError:
        return BadGateway()
    for kind in (*command.raises, *COMMON_ERRORS):
        if kind.code == body.code:
            return kind(body.detail, errors=body.errors, retry_after_s=body.retry_after_s)
    log.error("undeclared_error", subject=command.subject, code=body.code)
    return BadGateway()
