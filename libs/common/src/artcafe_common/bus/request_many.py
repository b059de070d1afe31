"""Asking all instances of a service at once, whose number nobody knows."""

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
from artcafe_common.bus.errors import ServiceUnavailable

A = TypeVar("A", bound=msgspec.Struct)
S = TypeVar("S", bound=Signal)
log = structlog.get_logger()


async def request_many(
    bus: Bus,
    question: Signal,
    kind: type[A],
    *,
    expected: Callable[[list[A]], bool],
    quiet_s: float,
    within_s: float,
) -> list[A]:
    """All answers that come `within_s`; once all `expected` ones are there, until none came for `quiet_s`."""
    answers: list[A] = []
    until = time.monotonic() + within_s
    try:
        inbox = bus.nc.new_inbox()
        subscription = await bus.nc.subscribe(inbox)
        try:
            await bus.nc.publish(type(question).subject, msgspec.json.encode(question), reply=inbox)
            while (left := until - time.monotonic()) > 0:
                wait = min(left, quiet_s) if answers and expected(answers) else left
                message = await subscription.next_msg(timeout=wait)
                if message.data:  # otherwise the broker says that nobody is there
                    answers.append(msgspec.json.decode(message.data, type=kind))
        except (nats.errors.TimeoutError, TimeoutError):
            return answers
        finally:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
    except (nats.errors.Error, OSError) as error:
        raise ServiceUnavailable("the message broker is not available") from error
    return answers


async def reply_to_requests(
    bus: Bus, question: type[S], answer: Callable[[S], Awaitable[msgspec.Struct]]
) -> None:
    """Answer a question in every instance."""

    async def receive(message: Msg) -> None:
        try:
            told = await answer(msgspec.json.decode(message.data, type=question))
            await message.respond(msgspec.json.encode(told))
        except (msgspec.DecodeError, nats.errors.Error, OSError) as error:
            log.warning("question_not_answered", subject=message.subject, reason=repr(error))

    await bus.nc.subscribe(question.subject, cb=receive)
