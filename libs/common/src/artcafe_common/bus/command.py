"""The message types of a contract: commands and queries, events, signals.

The request is the command: its class declares subject, reply type, errors and policy. The typed call, the
endpoint and the NATS permissions of each service follow from that declaration.
"""

import typing
from datetime import UTC, datetime
from functools import cache
from typing import ClassVar, Generic, TypeVar

import msgspec
from ulid import ULID

from artcafe_common.bus.errors import CommandError

R = TypeVar("R")


class Command(msgspec.Struct, Generic[R], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request that one service answers with an `R`, named in the imperative.

    `subject` is the NATS subject, whose second token is the answering service. `callers` are the services
    that may send it; `admin` is the operator's command line. `raises` are its errors apart from
    COMMON_ERRORS, `deadline_s` is the time limit of a call in seconds. An `idempotent` command is sent again
    when the service answers that it is unavailable, or when no instance handles it any more. `patience_s` is how long
    the handler waits for a store that does not respond: a change has an answer within 2 s.
    """

    subject: ClassVar[str] = ""
    callers: ClassVar[tuple[str, ...]] = ("gateway",)
    raises: ClassVar[tuple[type[CommandError], ...]] = ()
    deadline_s: ClassVar[float] = 5.0
    patience_s: ClassVar[float] = 1.4
    idempotent: ClassVar[bool] = False


class Query(Command[R], Generic[R], frozen=True, kw_only=True):
    """A command that only reads, and is therefore idempotent."""

    idempotent = True


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact, named in the past tense, stored in the EVENTS stream and delivered at least once.

    `publishers` are the services that may publish it, `consumers` the durable consumers that handle it:
    `<service>` or `<service>-<name>`. Handlers are idempotent by `event_id` (a ULID).
    """

    subject: ClassVar[str] = ""
    publishers: ClassVar[tuple[str, ...]] = ()
    consumers: ClassVar[tuple[str, ...]] = ()

    event_id: str = msgspec.field(default_factory=lambda: str(ULID()))
    occurred_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that is not stored: it reaches the instances that are subscribed when it is published.

    The second token of `subject` is the receiving service.
    """

    subject: ClassVar[str] = ""
    publishers: ClassVar[tuple[str, ...]] = ()


class Empty(msgspec.Struct, frozen=True, kw_only=True):
    """A reply without content."""


@cache
def reply_type(command: type[Command[R]]) -> type[R]:
    """The reply type `R` of a command class that derives from `Command[R]` or a generic base such as `Query[R]`."""
    for base in getattr(command, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Command):
            return typing.cast(type[R], typing.get_args(base)[0])
    raise TypeError(f"{command.__name__} must derive from Command[Reply]")


def service_of(message: type[Command[R]] | type[Signal]) -> str:
    """The service that receives a command or signal: the second token of its subject."""
    return message.subject.split(".")[1]


def handled_subject(service: str) -> str:
    """The subject on which the instance of a service that handles an attempt of a command says so."""
    return f"artcafe.{service}.handled"
