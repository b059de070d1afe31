"""Requests that every instance of a service answers."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg

from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Signal
from artcafe_common.bus.errors import DECODE_ERRORS, ServiceUnavailable

A = TypeVar("A", bound=msgspec.Struct)
S = TypeVar("S", bound=Signal)
log = structlog.get_logger()


async def request_many(
    bus: Bus,
    request: Signal,
    reply_type: type[A],
    *,
    expected: Callable[[list[A]], bool],
    quiet_s: float,
    within_s: float,
) -> list[A]:
    """The replies that arrive `within_s`; ends earlier, once `expected` holds and none arrived for `quiet_s`."""
    replies: list[A] = []
    deadline = time.monotonic() + within_s
    try:
        inbox = bus.nc.new_inbox()
        subscription = await bus.nc.subscribe(inbox)
        try:
            await bus.nc.publish(type(request).subject, msgspec.json.encode(request), reply=inbox)
            while (left := deadline - time.monotonic()) > 0:
                wait = min(left, quiet_s) if replies and expected(replies) else left
                message = await subscription.next_msg(timeout=wait)
                if not message.data:
                    continue  # the broker's status: no responders
                try:
                    replies.append(msgspec.json.decode(message.data, type=reply_type))
                except DECODE_ERRORS as error:
                    log.warning("reply_malformed", subject=type(request).subject, reason=type(error).__name__)
        except (nats.errors.TimeoutError, TimeoutError):
            return replies
        finally:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
    except (nats.errors.Error, OSError) as error:
        raise ServiceUnavailable("the message broker is not available") from error
    return replies


async def reply_to_requests(
    bus: Bus, request_type: type[S], handler: Callable[[S], Awaitable[msgspec.Struct]]
) -> None:
    """Reply to `request_many` in this instance."""

    async def receive(message: Msg) -> None:
        try:
            reply = await handler(msgspec.json.decode(message.data, type=request_type))
            await message.respond(msgspec.json.encode(reply))
        except (*DECODE_ERRORS, nats.errors.Error, OSError) as error:
            log.warning("reply_failed", subject=message.subject, reason=repr(error))

    await bus.nc.subscribe(request_type.subject, cb=receive)
