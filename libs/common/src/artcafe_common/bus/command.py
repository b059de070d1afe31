"""What a contract is made of: commands that are answered, events that are announced, signals.

The request *is* the command: its class carries subject, reply type, errors and policy, and
both the typed call and the endpoint follow from that one declaration.
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

    `subject` is where it is answered (its second token names the service), `raises` the errors
    it may give besides the common ones, `deadline_s` how long a caller waits in seconds. Only
    an `idempotent` command is tried again after a deadline.
    """

    subject: ClassVar[str] = ""
    raises: ClassVar[tuple[type[CommandError], ...]] = ()
    deadline_s: ClassVar[float] = 5.0
    idempotent: ClassVar[bool] = False


class Query(Command[R], Generic[R], frozen=True, kw_only=True):
    """A command that reads and changes nothing, and is therefore idempotent."""

    idempotent = True


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact, named in the past tense, kept in the EVENTS stream and delivered at least once.

    Whoever applies one does so idempotently by `event_id` (a ULID).
    """

    subject: ClassVar[str] = ""

    event_id: str = msgspec.field(default_factory=lambda: str(ULID()))
    occurred_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """News that is worth nothing later: published to whoever listens now, never stored."""

    subject: ClassVar[str] = ""


class Empty(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of a command that has nothing to tell."""


@cache
def reply_type(command: type[Command[R]]) -> type[R]:
    """The `R` that a command class declares in `Command[R]` or in a generic base such as `Query[R]`."""
    for base in getattr(command, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Command):
            return typing.cast(type[R], typing.get_args(base)[0])
    raise TypeError(f"{command.__name__} must derive from Command[Reply]")


def service_of(command: type[Command[R]]) -> str:
    """The service that answers a command: the second token of its subject."""
    return command.subject.split(".")[1]
