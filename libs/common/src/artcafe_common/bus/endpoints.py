"""Serves a class of command handlers as a NATS micro service.

Works around three properties of nats.micro (nats-py 2.16): its callbacks run one after another, so each
handler runs in a task, limited by a semaphore; its `stop()` cancels running handlers, so `stop` here drains
first; and it sends `repr(error)` to the caller, so every exception is mapped to a CommandError before.
"""

import asyncio
import inspect
import json
import re
import time
import typing
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.micro.request import Request
from nats.micro.service import EndpointStats, Service, ServiceConfig

from artcafe_common import __version__, tracing
from artcafe_common.bus.caller import (
    ATTEMPT_HEADER,
    CALLER_HEADER,
    PATIENCE_HEADER,
    TIMEOUT_HEADER,
    TRACE_HEADER,
    CallerContext,
    set_caller,
    traced,
)
from artcafe_common.bus.command import Command, handled_subject, reply_type, service_of
from artcafe_common.bus.errors import (
    COMMON_ERRORS,
    DECODE_ERRORS,
    CommandError,
    DeadlineExceeded,
    ErrorBody,
    FieldError,
    InternalError,
    InvalidRequest,
)
from artcafe_common.latency import CallStatistics
from artcafe_common.retrying import deadline
from artcafe_common.validation import describe_error

R = TypeVar("R")
COMMAND_ATTRIBUTE = "__artcafe_command__"
DRAIN_TIMEOUT_S = 5.0
# Commands that wait for others; further ones stay in the connection's queue.
MAX_WAITING = 4096
_MILLISECONDS = re.compile(r"[0-9]{1,9}")

log = structlog.get_logger()


def handles(
    command: type[Command[R]],
) -> Callable[[Callable[[Any, Any], Awaitable[R]]], Callable[[Any, Any], Awaitable[R]]]:
    """Declare a method to be the handler of `command`; `collect_handlers` checks its types."""

    def mark(handler: Callable[[Any, Any], Awaitable[R]]) -> Callable[[Any, Any], Awaitable[R]]:
        setattr(handler, COMMAND_ATTRIBUTE, command)
        return handler

    return mark


def collect_handlers(owner: type) -> dict[type[Command[Any]], str]:
    """The commands that a class handles, with the name of each handler method.

    Raises TypeError if a method's annotations differ from the contract or two methods handle one command.
    """
    found: dict[type[Command[Any]], str] = {}
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        if not hasattr(method, COMMAND_ATTRIBUTE):
            continue
        command: type[Command[Any]] = getattr(method, COMMAND_ATTRIBUTE)
        hints = typing.get_type_hints(method)
        if hints.get("request") is not command or hints.get("return") != reply_type(command):
            raise TypeError(f"{owner.__name__}.{name} does not match {command.__name__}")
        if command in found:
            raise TypeError(f"{owner.__name__} handles {command.__name__} twice")
        found[command] = name
    return found


class EndpointServer:
    """Serves command handlers until stopped; the instances of a service share the commands."""

    def __init__(
        self,
        nc: Nats,
        name: str,
        *,
        concurrency: int = 256,
        tracer: tracing.Tracer = tracing.DISABLED,
    ) -> None:
        self._nc = nc
        self._tracer = tracer
        self._name = name
        self.concurrency = concurrency
        self.statistics = CallStatistics()
        self._slots = asyncio.Semaphore(concurrency)
        self._places = asyncio.Semaphore(concurrency + MAX_WAITING)
        # How many commands are being handled.
        self.running_count = 0
        # Each command that waits or is being handled, and the id of the attempt.
        self._running: dict[asyncio.Task[None], str] = {}
        self._errors: dict[str, int] = {}
        self._service = Service(
            nc,
            ServiceConfig(
                name=name,
                version=__version__,
                description=f"ArtCafe PubSub: {name}",
                queue_group=name,
                stats_handler=self._stats,
            ),
        )

    async def start(self) -> None:
        """Register the micro service; `serve` adds its endpoints."""
        await self._service.start()
        await self._nc.subscribe(handled_subject(self._name), cb=self._confirm_handled)

    async def serve(self, endpoints: object) -> None:
        """Handle every command that a method of `endpoints` declares with `@handles`."""
        for command, method in collect_handlers(type(endpoints)).items():
            if service_of(command) != self._name:
                raise TypeError(f"{command.__name__} belongs to {service_of(command)}, not {self._name}")
            await self.add_endpoint(command, getattr(endpoints, method))
        await self._nc.flush()

    async def add_endpoint(self, command: type[Command[R]], handler: Callable[[Any], Awaitable[R]]) -> None:
        """Handle one command with `handler`."""
        await self._service.add_endpoint(
            name=command.subject.replace(".", "-"),
            subject=command.subject,
            handler=self._build_callback(command, handler),
            metadata={"request": _schema(command), "reply": _schema(reply_type(command))},
        )

    async def stop(self) -> None:
        """Stop receiving commands and wait for running handlers, at most DRAIN_TIMEOUT_S."""
        try:
            for endpoint in self._service._endpoints:
                if endpoint._subscription is not None:
                    await endpoint._subscription.drain()
        except (nats.errors.Error, OSError, TimeoutError):
            log.debug("service_stopped_without_broker")
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=DRAIN_TIMEOUT_S)
            for task in late:
                task.cancel()

    def _build_callback(
        self, command: type[Command[R]], handler: Callable[[Any], Awaitable[R]]
    ) -> Callable[[Request], Awaitable[None]]:
        decoder = msgspec.json.Decoder(command)

        async def receive(request: Request) -> None:
            # From here on, waiting for a slot counts as the caller's time.
            ends_at = time.monotonic() + _seconds(request, TIMEOUT_HEADER, command.deadline_s)
            await self._places.acquire()
            task = asyncio.create_task(self._handle_in_turn(command, decoder, handler, request, ends_at))
            self._running[task] = (request.headers or {}).get(ATTEMPT_HEADER, "")
            task.add_done_callback(self._finished)

        return receive

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._places.release()

    async def _confirm_handled(self, message: Msg) -> None:
        # Only the instance that handles the attempt replies.
        if message.data and message.data.decode("ascii", "replace") in self._running.values():
            await message.respond(b"")

    async def _handle_in_turn(
        self,
        command: type[Command[R]],
        decoder: "msgspec.json.Decoder[Command[R]]",
        handler: Callable[[Any], Awaitable[R]],
        request: Request,
        ends_at: float,
    ) -> None:
        if self._slots.locked():
            try:
                async with asyncio.timeout(ends_at - time.monotonic()):
                    await self._slots.acquire()
            except TimeoutError:
                return  # the caller no longer waits
        else:
            await self._slots.acquire()
        self.running_count += 1
        try:
            await self._handle(command, decoder, handler, request, ends_at)
        finally:
            self.running_count -= 1
            self._slots.release()

    async def _handle(
        self,
        command: type[Command[R]],
        decoder: "msgspec.json.Decoder[Command[R]]",
        handler: Callable[[Any], Awaitable[R]],
        request: Request,
        ends_at: float,
    ) -> None:
        headers = request.headers or {}
        caller = _parse_caller(headers, self._name)
        set_caller(caller)
        span = self._tracer.resume(command.__name__, "server", caller.traceparent)
        started_at = time.perf_counter()
        failure: CommandError | None = None
        try:
            left = ends_at - time.monotonic()
            patience_s = min(command.patience_s, _seconds(request, PATIENCE_HEADER, command.patience_s))
            with traced(span), deadline(left, patience_s=patience_s):
                async with asyncio.timeout(left):
                    reply = await handler(_decode(decoder, request.data))
        except CommandError as error:
            failure = error
        except TimeoutError:
            failure = DeadlineExceeded()
        except Exception:
            log.exception("command_failed", subject=command.subject)
            failure = InternalError()
        code = "ok" if failure is None else failure.code
        self.statistics.record(command.__name__, code, time.perf_counter() - started_at)
        if failure is None:
            await self._respond(request, msgspec.json.encode(reply))
        else:
            await self._respond_error(command, request, failure)

    async def _respond_error(self, command: type[Command[R]], request: Request, error: CommandError) -> None:
        self._errors[command.subject] = self._errors.get(command.subject, 0) + 1
        if not isinstance(error, (*command.raises, *COMMON_ERRORS)):
            log.error("undeclared_error", subject=command.subject, code=error.code)
        body = ErrorBody(
            code=error.code, detail=error.detail, errors=error.errors, retry_after_s=error.retry_after_s
        )
        await self._respond(request, msgspec.json.encode(body), error)

    async def _respond(self, request: Request, data: bytes, error: CommandError | None = None) -> None:
        try:
            if error is None:
                await request.respond(data)
            else:
                await request.respond_error(str(error.status), error.code, data)
        except (nats.errors.Error, OSError, ValueError) as failure:
            log.warning("reply_failed", reason=repr(failure))

    def _stats(self, stats: EndpointStats) -> dict[str, int]:
        return {"errors": self._errors.get(stats.subject, 0)}


def _decode(decoder: "msgspec.json.Decoder[Command[R]]", data: bytes) -> Command[R]:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        message, _, path = describe_error(str(error), decoder.type).partition(" - at `$.")
        field = FieldError(field=path.rstrip("`") or "body", message=message)
        raise InvalidRequest(message, errors=(field,)) from None
    except DECODE_ERRORS as error:
        raise InvalidRequest("the request is not JSON") from error


def _parse_caller(headers: dict[str, str], service: str) -> CallerContext:
    try:
        caller = msgspec.json.decode(headers.get(CALLER_HEADER, ""), type=CallerContext)
    except DECODE_ERRORS:
        return CallerContext.service(service)
    if trace := headers.get(TRACE_HEADER):
        caller = msgspec.structs.replace(caller, traceparent=trace)
    return caller


def _seconds(request: Request, header: str, default: float) -> float:
    value = (request.headers or {}).get(header, "")
    return int(value) / 1000 if _MILLISECONDS.fullmatch(value) else default


def _schema(kind: Any) -> str:
    return json.dumps(msgspec.json.schema(kind), sort_keys=True)
