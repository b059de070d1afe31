"""Sends commands, events and signals over one NATS connection."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import Error as JetStreamError
from nats.micro.request import ERROR_CODE_HEADER

from artcafe_common import tracing
from artcafe_common.bus.attempts import (
    ANSWER_WITHIN_S,
    MIN_ANSWER_WITHIN_S,
    Patience,
    RequestLost,
    wait_for_reply,
)
from artcafe_common.bus.caller import (
    ATTEMPT_HEADER,
    CALLER_HEADER,
    PATIENCE_HEADER,
    TIMEOUT_HEADER,
    TRACE_HEADER,
    CallerContext,
    child_traceparent,
    current_caller,
    request_began_at,
    set_caller,
)
from artcafe_common.bus.command import Command, Event, Signal, handled_subject, reply_type, service_of
from artcafe_common.bus.errors import (
    COMMON_ERRORS,
    DECODE_ERRORS,
    BadGateway,
    CommandError,
    DeadlineExceeded,
    ErrorBody,
    ServiceUnavailable,
)
from artcafe_common.bus.events_stream import align_events_stream, create_events_stream
from artcafe_common.latency import CallStatistics

R = TypeVar("R")
E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=Signal)

RETRY_PAUSE_S = 0.05
MAX_RETRY_PAUSE_S = 0.4
# From this time of a request on, its further calls bear a store that does not respond for what is left.
SHARED_FROM_S = 0.1
PUBLISH_TIMEOUT_S = 5.0
_STREAM_ERRORS = (nats.errors.Error, JetStreamError, OSError, TimeoutError)
log = structlog.get_logger()


class _Undelivered(ServiceUnavailable):
    """No service received the request, so it can be repeated safely."""


def inbox_prefix(service: str) -> str:
    """The prefix of a service's reply subjects, which only that service's credentials may subscribe to."""
    return f"_INBOX_{service}"


class Bus:
    """Typed calls to other services; safe for concurrent use."""

    def __init__(
        self,
        nc: Nats,
        *,
        service: str,
        tracer: tracing.Tracer = tracing.DISABLED,
        stream_replicas: int = 1,
    ) -> None:
        self.nc = nc
        self.tracer = tracer
        self._service = service
        self._stream_replicas = stream_replicas
        # nats-py's JetStream does not use the inbox prefix of the connection.
        self.inbox_prefix = f"{inbox_prefix(service)}.".encode()
        self._js = nc.jetstream(timeout=5)
        # The commands that were sent, by name and code.
        self.statistics = CallStatistics()

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
        began_at = request_began_at()
        deadline = started_at + (command.deadline_s if deadline_s is None else deadline_s)
        # A service restarts in that time.
        retry_until = min(deadline, began_at + ANSWER_WITHIN_S)
        pause = RETRY_PAUSE_S
        while True:
            try:
                with tracing.child(f"call {type(command).__name__}"):
                    reply = await self._attempt(command, caller or current_caller(), deadline, began_at)
            except ServiceUnavailable as error:
                repeatable = isinstance(error, _Undelivered) or command.idempotent
                if not wait_for_recovery or not repeatable or time.monotonic() + pause > retry_until:
                    self._record(command, error.code, started_at)
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_RETRY_PAUSE_S)
            except CommandError as error:
                self._record(command, error.code, started_at)
                raise
            else:
                self._record(command, "ok", started_at)
                return reply

    def _record(self, command: Command[R], code: str, started_at: float) -> None:
        self.statistics.record(type(command).__name__, code, time.monotonic() - started_at)

    async def _attempt(
        self, command: Command[R], caller: CallerContext, deadline: float, began_at: float
    ) -> R:
        service, attempt_id = service_of(type(command)), secrets.token_hex(8)
        elapsed_s = time.monotonic() - began_at
        patience = Patience.after(elapsed_s)
        try:
            return await wait_for_reply(
                lambda: self._request(command, caller, deadline, attempt_id, elapsed_s),
                lambda: self._is_handled(service, attempt_id, patience.handled_s),
                repeat=command.idempotent and patience.may_repeat,
                patience_s=patience.reply_s,
                grace_s=patience.grace_s,
            )
        except RequestLost:
            raise DeadlineExceeded(f"{service} did not reply") from None

    async def _is_handled(self, service: str, attempt_id: str, timeout_s: float) -> bool:
        try:
            await self.nc.request(handled_subject(service), attempt_id.encode(), timeout=timeout_s)
        except (nats.errors.Error, OSError, TimeoutError):
            return False
        return True

    async def _request(
        self,
        command: Command[R],
        caller: CallerContext,
        deadline: float,
        attempt_id: str,
        elapsed_s: float,
    ) -> R:
        kind = type(command)
        left = deadline - time.monotonic()
        if not self.nc.is_connected or getattr(self.nc, "is_renewing", False):
            # nats-py would buffer the request and send it after the reconnect, when its caller is gone.
            raise _Undelivered("the message broker is not available")
        headers = {
            CALLER_HEADER: msgspec.json.encode(caller).decode("ascii", "replace"),
            TRACE_HEADER: child_traceparent(caller.traceparent),
            TIMEOUT_HEADER: str(max(int(left * 1000), 0)),
            ATTEMPT_HEADER: attempt_id,
        }
        if elapsed_s > SHARED_FROM_S and command.patience_s < ANSWER_WITHIN_S:
            patience_s = max(MIN_ANSWER_WITHIN_S, command.patience_s - elapsed_s)
            headers[PATIENCE_HEADER] = str(int(patience_s * 1000))
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
        except DECODE_ERRORS as error:
            raise BadGateway from error
        return reply

    async def ensure_events_stream(self) -> None:
        """Create the stream that stores events, unless it exists. Raises ServiceUnavailable."""
        try:
            await create_events_stream(self._js, self._stream_replicas)
        except _STREAM_ERRORS as error:
            raise ServiceUnavailable("the stream of events is not available") from error

    async def align_events_stream(self) -> None:
        """Bring the stream that stores events into line; only identity may. Raises ServiceUnavailable."""
        try:
            await align_events_stream(self._js, self._stream_replicas)
        except _STREAM_ERRORS as error:
            raise ServiceUnavailable("the stream of events is not available") from error

    async def publish(self, event: Event, *, timeout_s: float = PUBLISH_TIMEOUT_S) -> None:
        """Publish an event and wait until the broker has stored it. Raises ServiceUnavailable."""
        data = msgspec.json.encode(event)
        await self.publish_encoded(type(event).subject, event.event_id, data, timeout_s=timeout_s)

    async def publish_encoded(
        self, subject: str, event_id: str, data: bytes, *, timeout_s: float = PUBLISH_TIMEOUT_S
    ) -> None:
        """As `publish`, for an event that is encoded already."""
        try:
            with tracing.child(f"publish {subject}", "producer"):
                await self._js.publish(
                    subject,
                    data,
                    timeout=timeout_s,
                    headers={"Nats-Msg-Id": event_id, CALLER_HEADER: _encode_caller()},
                )
        except _STREAM_ERRORS as error:
            raise ServiceUnavailable("the event could not be stored") from error

    async def notify(self, signal: Signal) -> None:
        """Publish a signal, without confirmation."""
        await self.nc.publish(type(signal).subject, msgspec.json.encode(signal))

    async def subscribe(
        self, event: type[E], handler: Callable[[E], Awaitable[None]], *, shared: bool = False
    ) -> None:
        """Handle live events in every instance, as caches do, or each in one if `shared`.

        Events are missed while disconnected.
        """
        await self._subscribe(event.subject, event, handler, queue=self._service if shared else "")

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


def _encode_caller() -> str:
    caller = current_caller()
    if sampled := tracing.current_traceparent():
        caller = msgspec.structs.replace(caller, traceparent=sampled)
    return msgspec.json.encode(caller).decode("ascii", "replace")


def parse_caller(message: Msg) -> CallerContext | None:
    """The caller in the headers of a message; None if it is absent or malformed."""
    raw = (message.headers or {}).get(CALLER_HEADER)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=CallerContext)
    except DECODE_ERRORS:
        return None


def _decode_error(command: type[Command[R]], data: bytes) -> CommandError:
    try:
        body = msgspec.json.decode(data, type=ErrorBody)
    except DECODE_ERRORS:
        return BadGateway()
    for kind in (*command.raises, *COMMON_ERRORS):
        if kind.code == body.code:
            return kind(body.detail, errors=body.errors, retry_after_s=body.retry_after_s)
    log.error("undeclared_error", subject=command.subject, code=body.code)
    return BadGateway()
