"""Sends commands, events and signals over one NATS connection."""

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
# A call without responders is repeated for this time, in which a service restarts.
NO_RESPONDERS_GRACE_S = 2.0
RETRY_PAUSE_S = 0.05
MAX_RETRY_PAUSE_S = 0.4
EVENTS_MAX_AGE_S = 7 * 24 * 3600
EVENTS_MAX_BYTES = 1 << 30

log = structlog.get_logger()


class _Undelivered(ServiceUnavailable):
    """No service received the request, so it can be repeated safely."""


def inbox_prefix(service: str) -> str:
    """The prefix of a service's reply subjects, which only that service's credentials may subscribe to."""
    return f"_INBOX_{service}"


class Bus:
    """Typed calls to other services; safe for concurrent use."""

    def __init__(self, nc: Nats, *, service: str) -> None:
        self.nc = nc
        self._service = service
        # nats-py's JetStream does not use the inbox prefix of the connection.
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
        """The reply to `command`. Raises the CommandError that its service raised.

        Raises ServiceUnavailable without a responder (with `wait_for_recovery`, only after the grace period),
        DeadlineExceeded without a reply in time, BadGateway for an undeclared error or an invalid reply.
        """
        started_at = time.monotonic()
        deadline = started_at + (command.deadline_s if deadline_s is None else deadline_s)
        retry_until = min(deadline, started_at + NO_RESPONDERS_GRACE_S)
        pause = RETRY_PAUSE_S
        while True:
            try:
                return await self._request(command, caller or current_caller(), deadline)
            except ServiceUnavailable as error:
                repeatable = isinstance(error, _Undelivered) or command.idempotent
                if not wait_for_recovery or not repeatable or time.monotonic() + pause > retry_until:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_RETRY_PAUSE_S)

    async def _request(self, command: Command[R], caller: CallerContext, deadline: float) -> R:
        kind = type(command)
        left = deadline - time.monotonic()
        if not self.nc.is_connected:
            # nats-py would buffer the request and send it after the reconnect, when its caller is gone.
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
            raise DeadlineExceeded(f"{service_of(kind)} did not reply in time") from error
        except (nats.errors.Error, OSError) as error:
            raise ServiceUnavailable("the message broker is not available") from error
        if message.headers and ERROR_CODE_HEADER in message.headers:
            raise _decode_error(kind, message.data)
        try:
            reply: R = msgspec.json.decode(message.data, type=reply_type(kind))
        except msgspec.DecodeError as error:
            raise BadGateway from error
        return reply

    async def ensure_events_stream(self) -> None:
        """Create the stream that stores events, unless it exists."""
        await self._js.add_stream(
            StreamConfig(
                name=EVENTS_STREAM,
                subjects=[EVENTS_SUBJECT],
                max_age=EVENTS_MAX_AGE_S,
                max_bytes=EVENTS_MAX_BYTES,
                discard=DiscardPolicy.OLD,
                duplicate_window=120,
            )
        )

    async def publish(self, event: Event) -> None:
        """Publish an event and wait until the broker has stored it. Raises ServiceUnavailable."""
        await self.publish_encoded(type(event).subject, event.event_id, msgspec.json.encode(event))

    async def publish_encoded(self, subject: str, event_id: str, data: bytes) -> None:
        """As `publish`, for an event that is encoded already."""
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
        """Publish a signal, without confirmation."""
        await self.nc.publish(type(signal).subject, msgspec.json.encode(signal))

    async def subscribe(self, event: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """Handle live events in every instance, as caches do. Events are missed while disconnected."""
        await self._subscribe(event.subject, event, handler)

    async def subscribe_signal(
        self, signal: type[S], handler: Callable[[S], Awaitable[None]], *, shared: bool = True
    ) -> None:
        """Handle signals: each in one instance of this service if `shared`, else in every instance."""
        await self._subscribe(signal.subject, signal, handler, queue=self._service if shared else "")

    async def _subscribe(
        self,
        subject: str,
        kind: type[E] | type[S],
        handler: Callable[[E], Awaitable[None]] | Callable[[S], Awaitable[None]],
        queue: str = "",
    ) -> None:
        async def receive(message: Msg) -> None:
            set_caller(parse_caller(message) or CallerContext.service(self._service))
            try:
                await handler(msgspec.json.decode(message.data, type=kind))  # type: ignore[arg-type]
            except Exception:
                log.exception("message_handler_failed", subject=message.subject)

        await self.nc.subscribe(subject, queue=queue, cb=receive)


def parse_caller(message: Msg) -> CallerContext | None:
    """The caller in the headers of a message; None if it is absent or malformed."""
    raw = (message.headers or {}).get(CALLER_HEADER)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=CallerContext)
    except msgspec.DecodeError:
        return None


def _decode_error(command: type[Command[R]], data: bytes) -> CommandError:
    try:
        body = msgspec.json.decode(data, type=ErrorBody)
    except msgspec.DecodeError:
        return BadGateway()
    for kind in (*command.raises, *COMMON_ERRORS):
        if kind.code == body.code:
            return kind(body.detail, errors=body.errors, retry_after_s=body.retry_after_s)
    log.error("undeclared_error", subject=command.subject, code=body.code)
    return BadGateway()
